# shellcheck shell=bash disable=SC2034,SC2154
# A Debian of another processor in a folder, its packages unpacked but not configured: their scripts would run for half an
# hour in emulation, and what is tried there needs none of them.
#
# Sourced by vm, after setup.sh and chroot.sh; it only defines functions. They read
#
#   cache      the folder for packages and logs
#   suite      Debian's suite
#   root       the folder that is filled

# What the machine needs to boot, to compile, and to run the observer and its witnesses.
foreign_packages=(
    base-files bash binutils busybox-static coreutils dash diffutils findutils gawk gcc gdb grep gzip hostname iproute2 kmod
    libc-bin libc6-dbg libc6-dev make mount passwd perl-base procps python3 python3-venv sed strace tar util-linux
)

# Fetch the packages named, and those that they depend on, of the processor ARCHITECTURE into FOLDER/var/cache/apt/archives:
# fetch_foreign ARCHITECTURE FOLDER PACKAGE …
fetch_foreign() {
    local architecture=$1 folder=$2 options
    shift 2
    mkdir -p "$folder"/etc/apt/{apt.conf.d,preferences.d,trusted.gpg.d} "$folder"/var/lib/{apt/lists/partial,dpkg} \
        "$folder/var/cache/apt/archives/partial"
    : >"$folder/var/lib/dpkg/status"
    printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$(mirror)" "$suite" >"$folder/etc/apt/sources.list"
    options=(
        -q -o "Dir=$folder" -o "Dir::State::status=$folder/var/lib/dpkg/status" -o "APT::Architecture=$architecture"
        -o "APT::Architectures=$architecture" -o APT::Install-Recommends=false -o APT::Sandbox::User=root
    )
    apt-get "${options[@]}" update && apt-get "${options[@]}" -y --download-only install "$@"
}

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# Unpack what was fetched into FOLDER, with what the packages' scripts would have linked and a user `student`.
unpack_foreign() {
    local folder=$1 package name
    mkdir -p "$root"/usr/{bin,sbin,lib} "$root"/{dev,proc,sys,run,root,vm} "$root/home/student"
    mkdir -m 1777 "$root/tmp"
    for name in bin sbin lib; do
        ln -s "usr/$name" "$root/$name"
    done
    for package in "$folder"/var/cache/apt/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -C "$root" -xpf - --keep-directory-symlink || return
    done
    ln -sf gcc "$root/usr/bin/cc"
    ln -sf gawk "$root/usr/bin/awk"
    printf 'root:x:0:0:root:/root:/bin/bash\nstudent:x:1000:1000::/home/student:/bin/bash\nnobody:x:65534:65534::/:/bin/false\n' >"$root/etc/passwd"
    printf 'root:x:0:\nstudent:x:1000:\nnogroup:x:65534:\n' >"$root/etc/group"
}

# What pyproject.toml asks for, and what its tests need without a browser and a cluster, one a line.
foreign_requirements() {
    python3 -c '
import sys, tomllib
project = tomllib.load(sys.stdin.buffer)["project"]
left_out = ("malloc-observer", "playwright", "axe-core")
print(*project["dependencies"], sep="\n")
print(*(each for each in project["optional-dependencies"]["test"] if not each.startswith(left_out)), sep="\n")
' <"$checkout/pyproject.toml"
}

# Make the observer's environment as setup.sh would, of wheels for the processor MACHINE, stamped as setup.sh does.
foreign_environment() {
    local machine=$1 home=/home/student/malloc-observer python version tag tags=() wanted place
    python=$(basename "$(readlink "$root/usr/bin/python3")")
    version=${python#python}
    for tag in 2_17 2_28 2_34; do
        tags+=(--platform "manylinux_${tag}_$machine")
    done
    tags+=(--platform "manylinux2014_$machine")
    mapfile -t wanted < <(foreign_requirements)
    place=$root$home/.venv
    mkdir -p "$place/bin" "$root$home/build"
    python3 -m pip install --quiet --disable-pip-version-check --target "$place/lib/$python/site-packages" "${tags[@]}" \
        --python-version "$version" --implementation cp --only-binary=:all: "${wanted[@]}" || return
    printf 'home = /usr/bin\ninclude-system-site-packages = false\nversion = %s\n' "$version" >"$place/pyvenv.cfg"
    ln -s /usr/bin/python3 "$place/bin/python3"
    ln -s python3 "$place/bin/python"
    printf '%s\n' "$home" >"$place/lib/$python/site-packages/observer.pth"
    printf '#!%s/.venv/bin/python\nimport sys\nfrom observer.cli.main import main\nsys.exit(main())\n' "$home" >"$place/bin/observer"
    chmod 755 "$place/bin/observer"
    {
        cat "$checkout/pyproject.toml"
        printf '%s\n%s\n/usr/bin/%s\n' "$home" "$home/.venv" "$python"
    } | sha256sum | cut -d ' ' -f 1 | tee "$place/.installed-base" >"$place/.installed-test"
    chown -R 1000:1000 "$root/home/student"
}

# Compile the samples here, by the cross compiler of Debian's PREFIX, which is quicker than there; where the C library that it
# links with is newer than the machine's, they are compiled there.
foreign_samples() {
    local prefix=$1 home=$root/home/student/malloc-observer
    [ "$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")" != trixie ] || [ "$suite" = trixie ] || return 0
    make -s -C "$checkout/c_samples" CC="$prefix-gcc" BUILD="$home/build/c_samples" -j2
    chown -R 1000:1000 "$home/build"
}

# Write an initial memory of busybox and of the modules that the root's disk needs: foreign_initrd KERNEL-RELEASE FILE COMMAND
foreign_initrd() {
    local release=$1 file=$2 command=$3 folder modules module path number=100
    folder=$(mktemp -d) modules=$root/lib/modules/$release
    mkdir -p "$folder"/{bin,dev,modules,proc,root}
    cp "$root/bin/busybox" "$folder/bin/"
    /sbin/depmod -b "$root" "$release" || return
    for module in virtio_mmio virtio_pci virtio_blk ext4 crc32c_generic; do
        for path in $(sed -n "s,^\([^:]*/$module\.ko[^:]*\): *\(.*\),\1 \2,p" "$modules/modules.dep" | tr ' ' '\n' | tac); do
            compgen -G "$folder/modules/*-$(basename "${path%.xz}")" >/dev/null && continue
            case $path in
            *.xz) xz -dc "$modules/$path" >"$folder/modules/$number-$(basename "${path%.xz}")" ;;
            *) cp "$modules/$path" "$folder/modules/$number-$(basename "$path")" ;;
            esac
            number=$((number + 1))
        done
    done
    {
        # shellcheck disable=SC2016
        printf '%s\n' '#!/bin/busybox sh' '/bin/busybox mount -t devtmpfs dev /dev' \
            'for module in /modules/*; do /bin/busybox insmod "$module"; done' \
            'for second in 1 2 3 4 5; do [ -b /dev/vda ] && break; /bin/busybox sleep 1; done' \
            '/bin/busybox mount -t ext4 /dev/vda /root && /bin/busybox mount --move /dev /root/dev' \
            "exec /bin/busybox switch_root /root /bin/bash -c '$command'"
    } >"$folder/init"
    chmod 755 "$folder/init"
    (cd "$folder" && find . | cpio --quiet -o -H newc -R 0:0 | gzip) >"$file"
    rm -rf "$folder"
}
