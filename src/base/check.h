/* check.h: assertions that stay on in production. They are for our own bugs; what a peer does is never asserted. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

/* Prints file, line and the condition on stderr and aborts; the supervisor reports the crash and starts a new worker. */
_Noreturn void check_failed(const char *file, int line, const char *condition);

#define CHECK(condition) ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition))

/* The struct that holds member at pointer. */
#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
