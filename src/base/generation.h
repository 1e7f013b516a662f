/* generation.h: tells a process from the one that it was forked from, without a system call.
 *
 * What is made ahead of need and must be used once only (random bytes, key pairs, nonces) would be used twice after a fork:
 * parent and child have the same. Whoever keeps such things notes the generation when they are made, and drops them when
 * it is another one. Any thread. */
#ifndef BASE_GENERATION_H
#define BASE_GENERATION_H

/* Never 0, so that zeroed memory is of no generation; differs from that of every process before it in the same line. The first call
 * makes a page that the kernel empties in a child, however that was made (MADV_WIPEONFORK, Linux 4.14); where there are
 * no such pages, only children of fork() are noticed. */
unsigned fork_generation(void);

#endif
