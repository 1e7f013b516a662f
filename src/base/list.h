/* list.h: intrusive doubly linked lists. A link is a member of the thing that is listed; a list is a link of its own.
 * An unlisted link points to itself, so that list_remove is harmless on it. No allocation, no ownership. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"

struct list {
    struct list *next, *previous;
};

static inline void list_init(struct list *l)
{
    l->next = l->previous = l;
}

static inline bool list_is_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_insert_before(struct list *position, struct list *link)
{
    link->next = position;
    link->previous = position->previous;
    position->previous->next = link;
    position->previous = link;
}

static inline void list_append(struct list *l, struct list *link)
{
    list_insert_before(l, link);
}

static inline void list_prepend(struct list *l, struct list *link)
{
    list_insert_before(l->next, link);
}

static inline void list_remove(struct list *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
    list_init(link);
}

/* The first thing of a list that is not empty. */
#define LIST_FIRST(list, type, member) CONTAINER_OF((list)->next, type, member)
#define LIST_LAST(list, type, member)  CONTAINER_OF((list)->previous, type, member)
/* Walks the links; the current one may be removed (or freed) by the body. */
#define LIST_EACH(head, link) \
    for (struct list *link = (head)->next, *link##_next = link->next; link != (head); \
         link = link##_next, link##_next = link->next)

#endif
