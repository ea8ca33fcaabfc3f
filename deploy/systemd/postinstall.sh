#!/bin/sh
# After an installation the service is neither enabled nor started: it has no API to stand in front of yet. After an
# upgrade it goes on with the new version if it ran.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
	systemctl try-restart tapway.service || true
fi
if [ "$1" = configure ] && [ -z "$2" ]; then
	echo "tapway: say what it stands in front of in /etc/tapway/tapway.yaml, then: systemctl enable --now tapway"
fi
