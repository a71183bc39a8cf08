/* XXH3 with AVX2; chosen when the processor has it. */
#if defined(__x86_64__)
#pragma GCC target("avx2")
#define XXH_VECTOR 2 /* XXH_AVX2 */
#define BD_XXH3 bd_xxh3_avx2
#include "xxh3.h"
#endif
