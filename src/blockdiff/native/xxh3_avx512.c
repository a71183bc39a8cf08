/* XXH3 with AVX-512; chosen when the processor has it. */
#if defined(__x86_64__)
#pragma GCC target("avx512f")
#define XXH_VECTOR 3 /* XXH_AVX512 */
#define BD_XXH3 bd_xxh3_avx512
#include "xxh3.h"
#endif
