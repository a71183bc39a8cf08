/* XXH3-128 of blocks, by the header of the xxHash library, compiled once for each instruction set: see xxh3_*.c.
 *
 * The includer defines BD_XXH3, the function's name, and chooses XXH_VECTOR. Reading DRAM is what takes the time, and a
 * page's end stops the processor's own prefetching: asking 4 KiB ahead is a sixth faster than the header's default. */
#if !defined(__has_include) || !__has_include(<xxhash.h>)
#error "xxhash.h (xxHash 0.8.0 or newer) is needed to build: libxxhash-dev (Debian, Ubuntu), xxhash-devel (Fedora), xxhash-dev (Alpine)"
#endif

#define XXH_INLINE_ALL
#define XXH_PREFETCH_DIST 4096
#include <xxhash.h>

#if XXH_VERSION_NUMBER < 800
#error "xxhash.h is older than 0.8.0, where XXH3 was not final: install a newer xxHash"
#endif

#include <stddef.h>
#include <stdint.h>

void BD_XXH3(const unsigned char *p, size_t length, size_t block, uint64_t seed, unsigned char *out);

void BD_XXH3(const unsigned char *p, size_t length, size_t block, uint64_t seed, unsigned char *out)
{
    while (length) {
        size_t n = length < block ? length : block;
        XXH128_canonicalFromHash((XXH128_canonical_t *)out, XXH3_128bits_withSeed(p, n, seed));
        p += n;
        out += sizeof(XXH128_canonical_t);
        length -= n;
    }
}
