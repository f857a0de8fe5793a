#!/bin/sh
# Runs as root after the package was installed, upgraded or removed: systemd reads its units anew.
# With rpm, systemd's own package does this.
set -e

if [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
fi
