/* privileges.h: who the worker is when the supervisor is root, and how it becomes that, for good. */
#ifndef APP_PRIVILEGES_H
#define APP_PRIVILEGES_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

enum { IDENTITY_GROUPS = 64 };

struct identity {
    bool is_needed; /* false: we are not root, and stay who we are */
    char name[64];
    uid_t uid;
    gid_t gid;
    gid_t groups[IDENTITY_GROUPS];
    int group_count;
};

/* name: a user, or NULL for `unlade` where it exists, else `nobody`. Returns 0 or -E_CONFIG when there is no such user. */
int identity_find(const char *name, struct identity *ret_identity) MUST_USE;

/* A user or a group by name or number. Returns 0, or -E_CONFIG when there is none of that name. */
int user_find(const char *name, uid_t *ret_uid) MUST_USE;
int group_find(const char *name, gid_t *ret_gid) MUST_USE;

/* Takes on the identity, gives up every capability and the right to gain any (no_new_privs), keeps keys out of core
 * files and debuggers, and dies when `parent` does. In a fresh child. Returns 0 or -E_SYSTEM (errno). */
int privileges_drop(const struct identity *identity, pid_t parent) MUST_USE;

/* Keeps this process's memory out of core files and from debuggers. */
void privileges_hide_memory(void);

#endif
