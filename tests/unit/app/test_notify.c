#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/notify.h"
#include "base/address.h"

static int manager;

static const char *received(void)
{
    static char text[1024];
    ssize_t n = recv(manager, text, sizeof text - 1, MSG_DONTWAIT);

    text[n < 0 ? 0 : n] = '\0';
    return text;
}

static void without_a_manager_nothing_happens(void **state)
{
    (void)state;
    unsetenv("NOTIFY_SOCKET");
    notify_init();
    notify_ready("x");
    notify_stopping();
}

static void the_manager_hears_of_each_step(void **state)
{
    char name[64];
    struct address a;

    (void)state;
    snprintf(name, sizeof name, "@unlade-test-%d", (int)getpid());
    assert_int_equal(address_from_path(name, &a), 0);
    manager = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(bind(manager, &a.any, a.size), 0);
    setenv("NOTIFY_SOCKET", name, 1);
    notify_init();
    assert_null(getenv("NOTIFY_SOCKET")); /* no child is to speak for us */
    notify_ready("serving");
    assert_string_equal(received(), "READY=1\nSTATUS=serving\n");
    notify_reloading();
    assert_int_equal(strncmp(received(), "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
    notify_status("%d of %d", 1, 2);
    assert_string_equal(received(), "STATUS=1 of 2\n");
    notify_stopping();
    assert_int_equal(strncmp(received(), "STOPPING=1\n", 11), 0);
    close(manager);
    notify_ready("nobody hears"); /* and nothing breaks */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_manager_nothing_happens),
        cmocka_unit_test(the_manager_hears_of_each_step),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
