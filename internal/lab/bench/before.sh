#!/bin/bash
# Builds images as before the action existed: by the SDK's own command line, once for each image. Arguments: the SDK's
# options as flags.
. "$(dirname "$0")/prepare.sh"
sdist=()
if [ "$SDIST" = once ]; then
	uv --quiet build --sdist --out-dir /sdist
	sdist=(--prebuilt-sdist /sdist/*.tar.gz)
fi
mark sdist
# Each line of the list has a base image and a custom tag.
xargs -P "$WORKERS" -L 1 sh -c 'exec >"/logs/$2" 2>&1; base=$1 tag=$2; shift 2
	exec /venv/bin/python -P -m openhands.agent_server.docker.build --base-image "$base" --custom-tags "$tag" \
	--image "$IMAGE" --target source-minimal --platforms linux/amd64 --push "$@"' sh <<<"$(
	while read -r base tag; do echo "$base" "$tag" $* ${sdist[*]}; done <"$LIST")" || { tail -n 20 /logs/*; exit 1; }
mark build
