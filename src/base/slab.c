#include "base/slab.h"

#include <stdlib.h>
#include <string.h>

void *slab_get(struct slab *s)
{
    void *object = s->first;

    if (!object)
        return calloc(1, s->object_bytes);
    memcpy(&s->first, object, sizeof s->first);
    s->count--;
    return memset(object, 0, s->object_bytes);
}

void slab_put(struct slab *s, void *object)
{
    if (!object)
        return;
    if (s->count >= s->keep) {
        free(object);
        return;
    }
    memcpy(object, &s->first, sizeof s->first);
    s->first = object;
    s->count++;
}

void slab_clear(struct slab *s)
{
    while (s->first) {
        void *object = s->first;
        memcpy(&s->first, object, sizeof s->first);
        free(object);
    }
    s->count = 0;
}
