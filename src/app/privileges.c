#include "app/privileges.h"

#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"

int identity_find(const char *name, struct identity *ret_identity)
{
    struct identity found = { .is_needed = geteuid() == 0 };
    const struct passwd *user;

    if (!found.is_needed) {
        *ret_identity = found;
        return 0;
    }
    user = getpwnam(name ? name : "unlade");
    if (!user && !name)
        user = getpwnam("nobody");
    if (!user)
        return -E_CONFIG;
    snprintf(found.name, sizeof found.name, "%s", user->pw_name);
    found.uid = user->pw_uid;
    found.gid = user->pw_gid;
    found.group_count = IDENTITY_GROUPS;
    if (getgrouplist(found.name, found.gid, found.groups, &found.group_count) < 0)
        found.group_count = found.group_count < IDENTITY_GROUPS ? found.group_count : IDENTITY_GROUPS;
    *ret_identity = found;
    return 0;
}

/* (uid_t)-1 stands for nobody in the calls that take it. */
static bool is_number(const char *name, uint64_t *ret_number)
{
    return bytes_to_number(bytes_of_text(name), UINT32_MAX - 1, ret_number) == 0;
}

int user_find(const char *name, uid_t *ret_uid)
{
    const struct passwd *user = getpwnam(name);
    uint64_t number;

    if (!user && !is_number(name, &number))
        return -E_CONFIG;
    *ret_uid = user ? user->pw_uid : (uid_t)number;
    return 0;
}

int group_find(const char *name, gid_t *ret_gid)
{
    const struct group *group = getgrnam(name);
    uint64_t number;

    if (!group && !is_number(name, &number))
        return -E_CONFIG;
    *ret_gid = group ? group->gr_gid : (gid_t)number;
    return 0;
}

static int drop_capabilities(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return syscall(SYS_capset, &header, none) < 0 ? -E_SYSTEM : 0;
}

void privileges_hide_memory(void)
{
#ifdef __SANITIZE_ADDRESS__
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* LeakSanitizer looks at its own process like a debugger */
#else
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

int privileges_drop(const struct identity *identity, pid_t parent)
{
    if (identity->is_needed && (setgroups((size_t)identity->group_count, identity->groups) < 0 ||
                                setresgid(identity->gid, identity->gid, identity->gid) < 0 ||
                                setresuid(identity->uid, identity->uid, identity->uid) < 0))
        return -E_SYSTEM;
    if (drop_capabilities() < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -E_SYSTEM;
    privileges_hide_memory();
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) /* a change of user would have cleared it */
        return -E_SYSTEM;
    if (getppid() != parent)
        _exit(1); /* the parent died before we asked to be told */
    return 0;
}
