/* XXH3 with what every processor of this architecture has. */
#define BD_XXH3 bd_xxh3_base
#include "xxh3.h"
