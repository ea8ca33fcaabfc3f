#!/bin/sh
# The service ends with the package, but not in an upgrade. The data in /var/lib/tapway stays: it may hold records
# that were not delivered.
set -e
case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now tapway.service || true
	fi
	;;
esac
