#!/usr/bin/env bash
# Makes a base image from Debian's packages, for machines that cannot pull the default one.
#
#   docker/base-image.sh NAME:TAG
#
# Needs root, debootstrap and a Docker engine. The host's certificate authorities are copied into it, so that
# pip works behind a proxy with an authority of its own.
set -euo pipefail

name=${1:?usage: docker/base-image.sh NAME:TAG}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv bookworm "$root"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
tar -C "$root" -c . | docker import --change 'CMD ["python3"]' - "$name"
