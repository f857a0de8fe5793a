#!/bin/sh
# Runs as root before the package is removed ("remove" for dpkg, 0 for rpm) or upgraded. Before a
# removal, the timers stop that the site has enabled, and their links go. So does what was published for
# Prometheus: nobody would renew it.
set -e

case $1 in
    remove | 0) ;;
    *) exit 0 ;;
esac

if [ -d /run/systemd/system ]; then
    # Debian's own respects a policy of the host.
    invoke=$(command -v deb-systemd-invoke || command -v systemctl)
    "$invoke" stop 'network-connections@*.timer' 'network-connections@*.service' >/dev/null || true
fi
if [ -d /etc/systemd/system ]; then
    find /etc/systemd/system -type l -name 'network-connections@*.timer' \
        -lname '*/lib/systemd/system/network-connections@.timer' -delete
fi
# Root alone may write there.
published=/var/lib/network-connections
if [ -d "$published" ]; then
    find "$published" -type f -name 'network_connections_*.prom' -delete
fi
