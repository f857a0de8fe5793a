#!/bin/sh
# Runs as root after the policy module was removed ("remove" or "purge" for dpkg, 0 for rpm) or
# upgraded: after a removal, the module goes, and the plugin gets the label of its directory back.
set -e

case $1 in
    remove | 0) ;;
    *) exit 0 ;;
esac

command -v semodule >/dev/null || exit 0
off=
selinuxenabled || off=-n
semodule $off -X 200 -r network-connections
plugin=$(ls /usr/lib*/nagios/plugins/check_network_connections 2>/dev/null || true)
[ -n "$off" ] || [ -z "$plugin" ] || restorecon -F "$plugin"
