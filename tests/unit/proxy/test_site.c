#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "proxy/site.h"

static struct snapshot_upstream upstreams[3];
static struct dial_plan in_clear[3];

static const struct snapshot_upstream *route(const char *path)
{
    static struct snapshot_route routes[] = { /* as a snapshot has them: the longest first */
        { .path = BYTES_LITERAL("/api/v2"), .to = &upstreams[2] },
        { .path = BYTES_LITERAL("/app/"), .to = &upstreams[1] },
        { .path = BYTES_LITERAL("/api"), .to = &upstreams[1] },
        { .path = BYTES_LITERAL("/"), .to = &upstreams[0] },
    };
    const struct snapshot_host host = { .routes = routes, .route_count = COUNT_OF(routes) };

    return host_route(&host, bytes_of_text(path))->to;
}

static void a_prefix_covers_whole_segments(void **state)
{
    (void)state;
    assert_ptr_equal(route("/api"), &upstreams[1]);
    assert_ptr_equal(route("/api/"), &upstreams[1]);
    assert_ptr_equal(route("/api/x"), &upstreams[1]);
    assert_ptr_equal(route("/api?q=/"), &upstreams[1]);
    assert_ptr_equal(route("/apis"), &upstreams[0]);
    assert_ptr_equal(route("/ap"), &upstreams[0]);
    assert_ptr_equal(route("/API"), &upstreams[0]);
    assert_ptr_equal(route("/app"), &upstreams[0]);
    assert_ptr_equal(route("/app/"), &upstreams[1]);
    assert_ptr_equal(route("/app/x"), &upstreams[1]);
}

static void the_longest_prefix_wins(void **state)
{
    (void)state;
    assert_ptr_equal(route("/api/v2"), &upstreams[2]);
    assert_ptr_equal(route("/api/v2/x"), &upstreams[2]);
    assert_ptr_equal(route("/api/v20"), &upstreams[1]);
}

static void the_server_as_a_whole_goes_where_its_root_goes(void **state)
{
    (void)state;
    assert_ptr_equal(route("*"), &upstreams[0]);
}

static void what_no_route_covers_has_none(void **state)
{
    struct snapshot_route only = { .path = BYTES_LITERAL("/api"), .to = &upstreams[1] };
    const struct snapshot_host host = { .routes = &only, .route_count = 1 }, none = { .route_count = 0 };

    (void)state;
    assert_null(host_route(&host, BYTES_LITERAL("/")));
    assert_null(host_route(&host, BYTES_LITERAL("*")));
    assert_null(host_route(&none, BYTES_LITERAL("/")));
}

struct place {
    struct net net;
    struct pool pool;
    struct address servers[3];
    struct snapshot snapshot;
    struct site *site;
};

static void set_up(struct place *p, size_t servers)
{
    memset(p, 0, sizeof *p);
    memset(upstreams, 0, sizeof upstreams);
    assert_int_equal(net_init(&p->net), 0);
    pool_init(&p->pool, &p->net);
    for (size_t i = 0; i < COUNT_OF(p->servers); i++)
        assert_int_equal(address_from_ip("127.0.0.1", (uint16_t)(81 + i), &p->servers[i]), 0);
    upstreams[0] = (struct snapshot_upstream){ .name = BYTES_LITERAL("other"), .servers = p->servers,
                                                .plans = in_clear, .server_count = 1 };
    upstreams[1] = (struct snapshot_upstream){ .name = BYTES_LITERAL("app"), .servers = p->servers,
                                                .plans = in_clear, .server_count = servers };
    p->snapshot = (struct snapshot){ .references = 1, .upstreams = upstreams, .upstream_count = 2 };
    p->site = site_new(&p->snapshot, &p->pool);
    assert_non_null(p->site);
}

static void tear_down(struct place *p)
{
    site_unref(p->site);
    assert_int_equal(p->snapshot.references, 1);
    pool_clear(&p->pool);
    net_clear(&p->net);
}

static void servers_take_turns(void **state)
{
    struct place p;

    (void)state;
    set_up(&p, 3);
    for (int i = 0; i < 9; i++)
        assert_int_equal(upstream_pick(p.site, &upstreams[1], 0), i % 3);
    assert_int_equal(upstream_pick(p.site, &upstreams[0], 0), 0);
    tear_down(&p);
}

static void a_server_that_was_tried_is_passed_over(void **state)
{
    struct place p;

    (void)state;
    set_up(&p, 3);
    for (int i = 0; i < 6; i++) {
        int number = upstream_pick(p.site, &upstreams[1], 1 << 1);
        assert_true(number == 0 || number == 2);
    }
    for (int i = 0; i < 6; i++)
        assert_int_equal(upstream_pick(p.site, &upstreams[1], 1 << 0 | 1 << 2), 1);
    assert_int_equal(upstream_pick(p.site, &upstreams[1], 7), -E_NO_SERVER);
    tear_down(&p);
}

static void two_sites_share_what_belongs_to_an_identity(void **state)
{
    struct place p;
    struct site *second;

    (void)state;
    set_up(&p, 2);
    second = site_new(&p.snapshot, &p.pool);
    assert_non_null(second);
    assert_ptr_equal(second->upstreams[1].group, p.site->upstreams[1].group);
    assert_ptr_equal(second->upstreams[1].backends[1], p.site->upstreams[1].backends[1]);
    assert_ptr_not_equal(second->upstreams[0].backends[0], second->upstreams[1].backends[0]);
    assert_int_equal(upstream_pick(p.site, &upstreams[1], 0), 0);
    assert_int_equal(upstream_pick(second, &upstreams[1], 0), 1);
    site_unref(second);
    tear_down(&p);
}

static void a_server_that_is_reached_in_another_way_is_another_backend(void **state)
{
    struct dial_plan changed = { .identity = 7 };
    struct snapshot_upstream same = { .name = BYTES_LITERAL("other"), .server_count = 1, .plans = &changed };
    struct snapshot next = { .references = 1, .upstreams = &same, .upstream_count = 1 };
    struct place p;
    struct site *second;

    (void)state;
    set_up(&p, 1);
    same.servers = p.servers;
    second = site_new(&next, &p.pool);
    assert_non_null(second);
    assert_ptr_equal(second->upstreams[0].group, p.site->upstreams[0].group);
    assert_ptr_not_equal(second->upstreams[0].backends[0], p.site->upstreams[0].backends[0]);
    site_unref(second);
    tear_down(&p);
}

static void what_no_site_names_any_more_is_gone(void **state)
{
    struct snapshot_upstream fewer = { .name = BYTES_LITERAL("app"), .server_count = 1 };
    struct snapshot next = { .references = 1, .upstreams = &fewer, .upstream_count = 1 };
    struct backend *kept;
    struct place p;
    struct site *second;

    (void)state;
    set_up(&p, 3);
    fewer.servers = &p.servers[2];
    fewer.plans = in_clear;
    kept = p.site->upstreams[1].backends[2];
    second = site_new(&next, &p.pool);
    assert_non_null(second);
    assert_ptr_equal(second->upstreams[0].backends[0], kept);
    site_unref(p.site);
    assert_ptr_equal(p.pool.groups.next, &second->upstreams[0].group->link);
    assert_ptr_equal(p.pool.groups.previous, &second->upstreams[0].group->link);
    assert_ptr_equal(second->upstreams[0].group->backends.next, &kept->link);
    assert_ptr_equal(second->upstreams[0].group->backends.previous, &kept->link);
    site_unref(second);
    assert_true(list_is_empty(&p.pool.groups));
    net_clear(&p.net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prefix_covers_whole_segments),
        cmocka_unit_test(the_longest_prefix_wins),
        cmocka_unit_test(the_server_as_a_whole_goes_where_its_root_goes),
        cmocka_unit_test(what_no_route_covers_has_none),
        cmocka_unit_test(servers_take_turns),
        cmocka_unit_test(a_server_that_was_tried_is_passed_over),
        cmocka_unit_test(two_sites_share_what_belongs_to_an_identity),
        cmocka_unit_test(a_server_that_is_reached_in_another_way_is_another_backend),
        cmocka_unit_test(what_no_site_names_any_more_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
