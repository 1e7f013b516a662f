#!/bin/sh
# do: everything that one does with Unlade's sources. `./do help` lists the words.
#
# POSIX shell and Debian's base system are all it needs: what else a word wants, `./do deps` installs from Debian.
# Each word installs what it lacks first, so that on a fresh machine any word works as the first one.
# shellcheck disable=SC2016,SC2086,SC1091 # lists of packages are split on purpose, some text is for another program
set -eu
cd "$(dirname "$0")"
here=$PWD

# ---- What comes from Debian (12 or newer). A word installs its own group and the ones before it. ----
build_packages="gcc libc6-dev pkgconf meson ninja-build libssl-dev libfyaml-dev libnghttp2-dev zlib1g-dev libzstd-dev libbrotli-dev"
demo_packages="curl" # the command that the demo prints
test_packages="libcmocka-dev clang libclang-rt-dev llvm python3 python3-pytest python3-pytest-timeout python3-pytest-xdist python3-yaml python3-cryptography
    openssl ca-certificates curl gnutls-bin nginx haproxy wrk nghttp2-client nghttp2-server python3-h2 python3-hpack python3-websockets chromium nodejs strace procps
    libnginx-mod-stream systemd iproute2 util-linux valgrind"
test_packages="$test_packages redis-server redis-tools postgresql postgresql-client mosquitto mosquitto-clients" # behind TCP mode
test_packages="$test_packages gnutls-bin libnss3-tools wget botan default-jdk-headless golang-go python3-pycurl libwolfssl-dev libmbedtls-dev" # the clients of the compatibility matrix
test_packages="$test_packages postfix dovecot-imapd dovecot-pop3d swaks libnet-ssleay-perl" # behind STARTTLS
command -v npm >/dev/null || test_packages="$test_packages npm" # other builds of nodejs bring it along
kernel_packages="qemu-system-x86 busybox-static" # what boots the guests of test-kernel; they are made of test_packages
lint_packages="clang-format clang-tidy cppcheck gcovr shellcheck"
bench_packages="python3 openssl nginx haproxy h2o hitch stunnel4 nghttp2-client util-linux valgrind strace libnginx-mod-stream"

# Where the private OpenSSL lives. It is outside the tree, so that every clone on a machine shares it.
wanted_openssl=3.5
openssl_release=trixie # the Debian release that brings it, and the multi-buffer library
multi_buffer_file=libcrypto_mb.so.11
# Linux 6.1, which cannot change the keys of a connection, and one of 6.14 or newer, which can.
kernel_releases="bookworm trixie-backports"

cache_dir()
{
    cache=${UNLADE_CACHE:-${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/unlade}
    if ! mkdir -p "$cache" 2>/dev/null || [ ! -w "$cache" ]; then
        cache=$here/.cache
    fi
    echo "$cache"
}

help()
{
    cat <<'TEXT'
usage: ./do WORD [ARGUMENT...]

  help                 this text
  deps [GROUP]         install what is missing: build (default), demo, test, kernel, lint, bench or all
  build [KIND]         build/release (default), or: asan, tsan, fuzz, coverage
  demo [ARGUMENT...]   build, then serve https://localhost:8443 in front of a demo backend
  test [--full] [unit|scenario|kernel|fuzz|checks [PATTERN]]
                       build with AddressSanitizer and UBSan, run the tests; the last line counts them.
                       --full adds ThreadSanitizer, longer fuzzing, coverage and lint
  test-kernel [NAME...] [-- PYTEST'S ARGUMENTS]
                       boot kernels that have TLS in qemu and run the scenarios marked `records` inside; part of `test`
  bench [--quick] [ARGUMENT...]
                       compare with nginx, haproxy, h2o, hitch and stunnel: CPU time per operation
  bench --report [FILE]
                       make docs/performance.md and its chart from the runs in a file of ./do bench --json
  bench --instructions [OPERATION...] [--top N] [--syscalls]
                       count what one handshake, request or megabyte costs Unlade: instructions, system calls
  format               lay out the .c files of src/ and bench/ with clang-format
  lint                 layers and limits, clang-format, clang-tidy, cppcheck, shellcheck
  install              install under PREFIX (default /usr/local), DESTDIR respected

environment
  UNLADE_OPENSSL=system    build with the system's OpenSSL even where a newer one can be had
  UNLADE_MB=off            build and test without Intel's multi-buffer library, as where Debian does not have it
  UNLADE_CACHE=DIR         where the private OpenSSL and the tests' npm packages are kept (default ~/.cache/unlade)
  CC=clang                 the compiler of release, asan, tsan and coverage builds
  UNLADE_COMPATIBILITY=write
                           ./do test scenario compatibility writes docs/compatibility.md instead of comparing with it
  CI=true                  compiler warnings are errors (release and fuzz builds: gcc and clang)
TEXT
}

say() { echo "do: $*" >&2; }
die() { say "$*"; exit 1; }

# ---- deps ----

# The packages out of "$@" that are not installed.
missing_packages()
{
    command -v dpkg-query >/dev/null || die "this is not Debian: install the equivalents of: $*"
    installed=" $(dpkg-query -W -f '${db:Status-Status}:${Package} ' "$@" 2>/dev/null || true)"
    for package in "$@"; do
        case $installed in
        *" installed:$package "*) ;;
        *) echo "$package" ;;
        esac
    done
}

# Runs "$@" as root.
as_root()
{
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "only root may install packages, and there is no sudo: run this as root: apt-get install $wanted"
    fi
}

# Installs "$@". The inner script runs as root; it keeps packages from starting their services while it works, through
# a policy-rc.d that it takes away again (and puts back what an administrator had there).
install_packages()
{
    wanted="$*"
    say "installing: $wanted"
    as_root sh -eu -c '
        policy=/usr/sbin/policy-rc.d
        restore()
        {
            if grep -qs "made by Unlade" "$policy"; then rm "$policy"; fi
            if [ -e "$policy.before-unlade" ] && [ ! -e "$policy" ]; then mv "$policy.before-unlade" "$policy"; fi
        }
        restore # what an earlier run left when it was killed
        trap restore EXIT
        trap "exit 1" HUP INT TERM
        if [ -e "$policy" ]; then mv "$policy" "$policy.before-unlade"; fi
        printf "#!/bin/sh\n# made by Unlade'"'"'s ./do: no service starts while it installs packages\nexit 101\n" >"$policy"
        chmod 755 "$policy"

        export DEBIAN_FRONTEND=noninteractive
        apt-get -q -o Acquire::Retries=3 update || echo "do: apt-get update had errors; trying all the same" >&2
        apt-get -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 install "$@" </dev/null
        # What came for tests must not begin to serve at the next boot.
        for service in nginx haproxy h2o hitch stunnel4; do
            case " $* " in *" $service "*) systemctl -q disable $service 2>/dev/null || true ;; esac
        done
    ' sh "$@" >&2 || die "could not install: $*"
}

deps()
{
    case ${1:-build} in
    build) set -- $build_packages ;;
    demo) set -- $build_packages $demo_packages ;;
    test | kernel) set -- $build_packages $test_packages $kernel_packages ;;
    lint) set -- $build_packages $test_packages $kernel_packages $lint_packages ;;
    bench) set -- $build_packages $bench_packages ;;
    all) set -- $build_packages $test_packages $kernel_packages $lint_packages $bench_packages ;;
    *) die "deps: no such group: $1 (build, demo, test, kernel, lint, bench, all)" ;;
    esac
    missing=$(missing_packages "$@" | sort -u)
    if [ -n "$missing" ]; then
        install_packages $missing
        still=$(missing_packages $missing)
        [ -z "$still" ] || die "still missing: $still"
    fi
    openssl_prepare
    multi_buffer_prepare
    case " $* " in *" nodejs "*) npm_prepare ;; esac
    case " $* " in *" qemu-system-x86 "*) kernel_prepare ;; esac
}

# ---- npm: the peers of the scenarios that Debian does not carry, as tests/node/package-lock.json names them ----

# Where they are, for this lock file: require() finds them with NODE_PATH=$(./do npm-prefix)/node_modules.
npm_prefix()
{
    echo "$(cache_dir)/npm-$(cat tests/node/package.json tests/node/package-lock.json | sha256sum | cut -c 1-16)"
}

# Each package's content is checked against the hash in the lock file; no script of a package is run.
npm_prepare()
{
    prefix=$(npm_prefix)
    if [ -d "$prefix" ]; then
        return
    fi
    say "fetching from npm what tests/node/package-lock.json names"
    work=$(mktemp -d)
    cp tests/node/package.json tests/node/package-lock.json "$work"
    if ! (cd "$work" && npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --cache "$work/cache" >log 2>&1); then
        sed 's/^/    /' "$work/log" >&2
        rm -rf "$work"
        die "npm could not install the peers of the tests (above)"
    fi
    rm -rf "$work/cache"
    chmod 755 "$work"
    cp -R "$work" "$prefix.$$"
    rm -rf "$work"
    mv -T "$prefix.$$" "$prefix" 2>/dev/null || rm -rf "$prefix.$$" # another clone was faster
    [ -d "$prefix" ] || die "cannot write $prefix"
}

# ---- OpenSSL: the system's where it is new enough, else Debian 13's own package in a private prefix ----

# The prefix of the private OpenSSL to link statically; empty where the system's is used.
openssl_prefix()
{
    if [ "${UNLADE_OPENSSL:-}" != system ] && ! pkgconf --atleast-version="$wanted_openssl" openssl; then
        readlink -f "$(cache_dir)/openssl-$wanted_openssl-$(dpkg --print-architecture)" || true
    fi
}

openssl_prepare()
{
    if [ "${UNLADE_OPENSSL:-}" = system ] || pkgconf --atleast-version="$wanted_openssl" openssl; then
        return
    fi
    fetch_kept fetch-openssl "$(cache_dir)/openssl-$wanted_openssl-$(dpkg --print-architecture)" \
        "OpenSSL $wanted_openssl (the system has $(pkgconf --modversion openssl))" \
        "building with the system's OpenSSL $(pkgconf --modversion openssl).
Missing so: X25519MLKEM768 (post-quantum key exchange), faster AES-GCM, the hooks for QUIC."
}

# Fetches $3 from Debian by the word $1 of this script, into a directory that the link $2 leads to. $4 says what is missing where
# that cannot be had.
fetch_kept()
{
    link=$2
    # Taken again after a week, for its security updates; an older one is better than none.
    if [ -e "$link/fetched" ] && [ -z "$(find "$link/fetched" -mtime +7)" ]; then
        return
    fi
    # When it could not be had, it is not asked for again within the hour.
    if [ -n "$(find "$link.failed" -mmin -60 2>/dev/null)" ]; then
        return
    fi
    say "fetching from Debian ($openssl_release): $3"
    work=$(mktemp -d)
    chmod 755 "$work" # apt downloads as its own user
    if "$here/do" "$1" "$work" "$link" >"$work/log" 2>&1; then
        say "version $(cat "$link/fetched") is in $link"
    else
        sed 's/^/    /' "$work/log" >&2
        if [ -e "$link/fetched" ]; then
            say "that failed (above): keeping version $(cat "$link/fetched")"
            touch "$link/fetched"
        else
            say "that failed (above): $4"
            say "It is tried again in an hour, or once $link.failed is removed."
            touch "$link.failed"
        fi
    fi
    rm -rf "$work"
}

# Puts the prefix $1 with the version $2, which was made to work in, beside the link $3, and the link on it.
keep_fetched()
{
    version=$2 link=$3
    prefix=$link.$(echo "$version" | tr -c 'A-Za-z0-9.\n' -)
    find "$1" -type f -exec touch {} + # newer than any object built with an older one
    echo "$version" >"$1/fetched"
    if [ -e "$prefix/fetched" ]; then # still the newest; builds may be using it
        touch "$prefix/fetched"
    else
        cp -R "$1" "$prefix.$$"
        mv -T "$prefix.$$" "$prefix"
    fi
    ln -sfn "$prefix" "$link"
}

# Takes packages of the Debian release (or -backports) $2, checked by apt against Debian's keys, through sources, lists and
# a cache of its own in $1. The command $3 downloads them, with $apt_options, into the directory where it runs.
fetch_from_debian()
{
    work=$1 release=$2 download=$3
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    mkdir -p "$work/sources" "$work/lists/partial" "$work/cache/archives/partial" "$work/package"
    [ "$(id -u)" != 0 ] || ! id _apt >/dev/null 2>&1 || chown _apt "$work/package"
    # Hooks of the system's apt are for the system's state.
    for hook in Pre-Invoke Post-Invoke Post-Invoke-Success; do
        echo "#clear APT::Update::$hook;"
    done >"$work/apt.conf"
    apt_options="-c $work/apt.conf -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=$work/sources
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
        -o Dir::State::Lists=$work/lists -o Dir::Cache=$work/cache -o Acquire::Retries=3 -o APT::Get::List-Cleanup=0"

    for main in $(debian_mirror "" http://deb.debian.org/debian); do
        security=$(debian_mirror -security http://deb.debian.org/debian-security | head -n 1)
        suites="$release $release-updates"
        case $release in *-backports) suites=$release ;; esac # alone: apt would prefer the release's own packages
        cat >"$work/sources/unlade.sources" <<TEXT
Types: deb
URIs: $main
Suites: $suites
Components: main
Signed-By: $keyring
TEXT
        case $release in
        *-backports) ;;
        *) cat >>"$work/sources/unlade.sources" <<TEXT

Types: deb
URIs: $security
Suites: $release-security
Components: main
Signed-By: $keyring
TEXT
            ;;
        esac
        # An incomplete update is an error here: it could hide a security update.
        if apt-get -q $apt_options update -o APT::Update::Error-Mode=any && (cd "$work/package" && $download); then
            return 0
        fi
    done
    return 1
}

download_openssl() { apt-get -q $apt_options download libssl-dev; }

# Leaves a prefix with OpenSSL's static libraries beside the link $2, and the link on it. $1 is a directory to work in.
fetch_openssl()
{
    work=$1 link=$2
    fetch_from_debian "$work" "$openssl_release" download_openssl || return 1

    dpkg-deb -x "$work"/package/libssl-dev_*.deb "$work/unpacked"
    mkdir -p "$work/prefix/lib/pkgconfig"
    cp -R "$work"/unpacked/usr/include "$work/prefix/"
    cp -R "$work"/unpacked/usr/include/*-linux-*/openssl "$work/prefix/include/"
    cp "$work"/unpacked/usr/lib/*/lib*.a "$work/prefix/lib/"
    for pc in "$work"/unpacked/usr/lib/*/pkgconfig/*.pc; do
        sed -e 's|^prefix=.*|prefix=${pcfiledir}/../..|' -e 's|^libdir=.*|libdir=${prefix}/lib|' "$pc" \
            >"$work/prefix/lib/pkgconfig/${pc##*/}"
    done
    keep_fetched "$work/prefix" "$(dpkg-deb -f "$work"/package/libssl-dev_*.deb Version)" "$link"
}

# ---- Intel's multi-buffer library (src/tls/multi_buffer.h), which a program loads when it starts ----

multi_buffer_link() { echo "$(cache_dir)/crypto-mb-$(dpkg --print-architecture)"; }

# Whether it is for this machine, and not installed.
wants_multi_buffer()
{
    [ "${UNLADE_MB:-}" != off ] && [ "$(dpkg --print-architecture)" = amd64 ] && [ -n "$(missing_packages libcrypto-mb11)" ]
}

multi_buffer_prepare()
{
    wants_multi_buffer || return 0
    fetch_kept fetch-multi-buffer "$(multi_buffer_link)" "Intel's multi-buffer library" \
        "handshakes are made one by one by OpenSSL, also where the processor could make eight at a time."
}

download_multi_buffer() { apt-get -q $apt_options download libcrypto-mb11 libcrypto-mb-dev; }

# Leaves a prefix with the library and its headers, which tests compare with what we think of it, beside the link $2.
fetch_multi_buffer()
{
    work=$1 link=$2
    fetch_from_debian "$work" "$openssl_release" download_multi_buffer || return 1

    mkdir -p "$work/prefix/lib/unlade" "$work/unpacked"
    for package in "$work"/package/*.deb; do
        dpkg-deb -x "$package" "$work/unpacked"
    done
    cp -L "$work"/unpacked/usr/lib/*/"$multi_buffer_file" "$work/prefix/lib/unlade/"
    cp -R "$work"/unpacked/usr/include "$work/prefix/"
    keep_fetched "$work/prefix" "$(dpkg-deb -f "$work"/package/libcrypto-mb11_*.deb Version)" "$link"
}

# The private copy's prefix; empty where there is none.
multi_buffer_prefix()
{
    if wants_multi_buffer && [ -e "$(multi_buffer_link)/fetched" ]; then
        readlink -f "$(multi_buffer_link)"
    fi
}

# Puts the one of the prefix $1, if it is not empty, where programs look that were built here: ../lib/unlade, seen from build/KIND/unlade.
multi_buffer_place()
{
    place=build/lib/unlade/$multi_buffer_file
    wanted=${1:+$1/lib/unlade/$multi_buffer_file}
    if [ "$(readlink "$place" || true)" != "$wanted" ]; then
        mkdir -p "${place%/*}"
        rm -f "$place"
        [ -z "$wanted" ] || ln -s "$wanted" "$place"
    fi
}

# The system's own Debian mirrors for its release with the suffix $1 ("" or -security), then the default $2.
debian_mirror()
{
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
        while read -r uri suite component; do
            if [ "$suite $component" = "$codename$1 main" ]; then
                echo "$uri"
            fi
        done | sort -u
    echo "$2"
}

# ---- Kernels that have the `tls` module, for test-kernel: unpacked beside the cache's OpenSSL, never installed ----

# The packages that $1 depends on and that are a kernel, or a part of one.
kernel_parts()
{
    apt-cache $apt_options depends "$1" | sed -n 's/^ *Depends: \(linux-\(image\|binary\|modules\)-[0-9].*\)$/\1/p'
}

# The kernel itself is one package, or, in newer releases, one that depends on several.
download_kernel()
{
    image=$(kernel_parts linux-image-cloud-amd64 | grep '^linux-image' | head -n 1)
    [ -n "$image" ] || return 1
    parts=$(kernel_parts "$image")
    apt-get -q $apt_options download "$image" $parts
}

# The kernel of the Debian release $2, unpacked into the directory $3; $1 is a directory to work in.
fetch_kernel()
{
    work=$1 release=$2 target=$3
    fetch_from_debian "$work" "$release" download_kernel || return 1
    mkdir "$work/unpacked"
    for package in "$work"/package/*.deb; do
        # No package has all of these.
        dpkg-deb --fsys-tarfile "$package" |
            tar -x -C "$work/unpacked" --wildcards './boot/vmlinuz*' './lib/modules' './usr/lib/modules' 2>/dev/null || true
    done
    find "$work/unpacked" -name 'tls.ko*' | grep -q . || return 1
    touch "$work/unpacked/fetched"
    rm -rf "$target.$$"
    cp -R "$work/unpacked" "$target.$$"
    rm -rf "$target"
    mv -T "$target.$$" "$target"
}

kernel_directory() { echo "$(cache_dir)/kernel-$1-amd64"; }

kernel_prepare()
{
    [ "$(dpkg --print-architecture)" = amd64 ] || die "test-kernel: Debian's cloud kernel is run on amd64 only"
    for release in $kernel_releases; do
        target=$(kernel_directory "$release")
        # Taken again after a month; an older one is better than none.
        if [ -e "$target/fetched" ] && [ -z "$(find "$target/fetched" -mtime +30)" ]; then
            continue
        fi
        say "fetching the cloud kernel of Debian $release"
        work=$(mktemp -d)
        chmod 755 "$work" # apt downloads as its own user
        if ! "$here/do" fetch-kernel "$work" "$release" "$target" >"$work/log" 2>&1; then
            sed 's/^/    /' "$work/log" >&2
            [ -e "$target/fetched" ] || die "the kernel of Debian $release could not be had (above)"
            say "that failed (above): keeping the one that is there"
            touch "$target/fetched"
        fi
        rm -rf "$work"
    done
}

# ---- build ----

# Builds build/$1. A directory that was configured otherwise is set up anew.
build()
{
    kind=${1:-release}
    set -- -Db_ndebug=false
    case ${CI:-}:$kind in
    :* | *:asan | *:tsan) ;; # gcc warns of what its sanitizers' own code looks like
    *) set -- "$@" --werror ;;
    esac
    cc=${CC:-gcc}
    # What serves is optimized across files: their small functions cost a tenth of all instructions otherwise.
    case $kind:$cc in
    release:gcc* | bench:gcc*) set -- "$@" -Db_lto=true ;;
    esac
    case $kind in
    release) set -- "$@" -Doptimization=3 -Ddebug=true -Dtests=false ;;
    asan) set -- "$@" --buildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false ;;
    tsan) set -- "$@" --buildtype=debugoptimized -Db_sanitize=thread -Db_lundef=false ;;
    coverage) set -- "$@" --buildtype=debug -Db_coverage=true ;;
    fuzz)
        cc=clang
        set -- "$@" --buildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false -Dfuzzers=true -Dtests=false
        ;;
    bench) set -- "$@" -Doptimization=3 -Ddebug=true -Dbench=true -Dtests=false ;;
    *) die "build: no such kind: $kind (release, asan, tsan, fuzz, coverage)" ;;
    esac
    prefix=$(openssl_prefix)
    if [ -n "$prefix" ] && [ -d "$prefix" ]; then
        set -- "$@" -Dstatic_openssl=true "--pkg-config-path=$prefix/lib/pkgconfig"
    fi

    prefix=$(multi_buffer_prefix)
    multi_buffer_place "$prefix"
    if [ -n "$prefix" ]; then
        set -- "$@" "-Dmulti_buffer=$prefix"
    fi

    dir=build/$kind
    options="$cc $($cc --version | head -n 1) $*"
    place=$(cat "$dir/place" 2>/dev/null || echo "$here") # meson does not follow a tree that was moved or copied
    if [ ! -e "$dir/build.ninja" ] || [ "$(cat "$dir/options" 2>/dev/null)" != "$options" ] || [ "$place" != "$here" ]; then
        rm -rf "$dir"
        mkdir -p build
        if ! CC=$cc meson setup "$dir" "$@" >"$dir.log" 2>&1; then
            cat "$dir.log" >&2
            die "meson could not set up $dir"
        fi
        mv "$dir.log" "$dir/setup.log"
        echo "$options" >"$dir/options"
        echo "$here" >"$dir/place"
    fi
    say "building $dir"
    ninja --quiet -C "$dir" >&2 || die "$dir does not build"
}

# ---- the other words ----

test_word()
{
    group="test"
    for argument in "$@"; do
        case $argument in --full | lint) group=lint ;; esac
    done
    deps $group
    exec /usr/bin/python3 scripts/run-tests "$@"
}

install_word()
{
    deps build
    build release
    to=${DESTDIR:-} prefix=${PREFIX:-/usr/local}
    install -D -m 755 build/release/unlade "$to$prefix/bin/unlade"
    install -d "$to$prefix/lib/unlade"
    if [ -e "build/lib/unlade/$multi_buffer_file" ]; then
        install -D -m 644 "build/lib/unlade/$multi_buffer_file" "$to$prefix/lib/unlade/$multi_buffer_file"
    fi
    install -D -m 644 docs/unlade.1 "$to$prefix/share/man/man1/unlade.1"
    install -D -m 644 packaging/unlade.sysusers "$to$prefix/lib/sysusers.d/unlade.conf"
    mkdir -p "$to$prefix/lib/systemd/system"
    sed "s|@BINDIR@|$prefix/bin|" packaging/unlade.service >"$to$prefix/lib/systemd/system/unlade.service"
    install -D -m 644 packaging/unlade.socket "$to$prefix/lib/systemd/system/unlade.socket"
    [ -d "$to/etc/unlade/certs" ] || install -d -m 750 "$to/etc/unlade/certs"
    if [ -e "$to/etc/unlade/unlade.yaml" ]; then
        say "keeping $to/etc/unlade/unlade.yaml"
    else
        install -D -m 644 packaging/unlade.yaml "$to/etc/unlade/unlade.yaml"
    fi
    say "installed under $to$prefix. What comes next, as root:"
    cat >&2 <<TEXT
    systemd-sysusers $prefix/lib/sysusers.d/unlade.conf    # the user that the worker runs as
    put certificates with their keys in /etc/unlade/certs, and edit /etc/unlade/unlade.yaml
    $prefix/bin/unlade check
TEXT
    case $prefix in
    /usr | /usr/local) echo "    systemctl daemon-reload" >&2 ;;
    *) echo "    systemctl link $prefix/lib/systemd/system/unlade.service" >&2 ;; # systemd does not look there
    esac
    echo "    systemctl enable --now unlade" >&2
}

# No `&&` between the steps here: it would switch the shell's stop-at-the-first-error off inside of them.
word=${1:-help}
[ $# = 0 ] || shift
case $word in
help | -h | --help)
    help
    ;;
deps)
    deps "$@"
    ;;
build)
    case ${1:-release} in
    release) deps build ;;
    *) deps test ;;
    esac
    build "$@"
    ;;
demo)
    deps demo
    build release
    exec build/release/unlade demo "$@"
    ;;
test)
    test_word "$@"
    ;;
test-kernel)
    deps kernel
    build release
    exec /usr/bin/python3 scripts/test-kernel "$@"
    ;;
bench)
    if [ "${1:-}" = --report ]; then
        shift
        exec /usr/bin/python3 bench/report.py "$@"
    fi
    deps bench
    build bench
    if [ "${1:-}" = --instructions ]; then
        shift
        exec /usr/bin/python3 bench/instructions "$@"
    fi
    exec /usr/bin/python3 bench/run "$@"
    ;;
format)
    deps lint
    find src bench -name '*.c' -exec clang-format -i {} +
    ;;
lint)
    deps lint
    exec /usr/bin/python3 scripts/run-tests lint "$@"
    ;;
install)
    install_word
    ;;
fetch-openssl) # of ./do itself
    fetch_openssl "$@"
    ;;
fetch-multi-buffer) # of ./do itself
    fetch_multi_buffer "$@"
    ;;
fetch-kernel) # of ./do itself
    fetch_kernel "$@"
    ;;
kernels) # of scripts/test-kernel
    for release in $kernel_releases; do
        kernel_directory "$release"
    done
    ;;
npm-prefix) # of the scenarios
    npm_prefix
    ;;
*)
    help >&2
    exit 2
    ;;
esac
