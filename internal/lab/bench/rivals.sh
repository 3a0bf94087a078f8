#!/bin/bash
# Puts the agent on existing base stages in three other ways: the SDK's own build(), a thin Dockerfile with docker build as
# other pipelines use it, and the same with COPY --link and buildx. Each way makes one image first, which pays what is paid
# once. Arguments: the SDK's options, name=value.
here=$(dirname "$0")
. "$here/prepare.sh"
uv --quiet build --sdist --out-dir /sdist
mark sdist
sdk() { # MARK TARGET REPOSITORY: builds the list on stdin, adds its images to a file of the target's name
	/venv/bin/python -P "$here/sdkbuild.py" "$1" "$WORKERS" /sdist/*.tar.gz "$2" "$3" "${options[@]}" || { tail -n 20 /logs/*; exit 1; }
}
each() { # WAY: builds and pushes one for each line on stdin, a base stage and a tag
	xargs -P "$WORKERS" -L 1 bash -euc 'exec >>"/logs/$0-$2" 2>&1; "$0" "$@"' "$1" || { tail -n 20 /logs/"$1"-*; exit 1; }
}
first() { head -n 1 "$1"; }
others() { tail -n +2 "$1"; }
options=("$@")

first "$LIST" | sdk stages-first base-image-minimal "$IMAGE/stages"
others "$LIST" | sdk stages base-image-minimal "$IMAGE/stages"
# The image from which the thin images copy the agent, at a new commit. The stage does not use its base.
first "$LIST" | sdk agent builder "$IMAGE/agent"
# Records in the builder's cache with an agent layer, which no other way needs.
kept() {
	docker exec "buildx_buildkit_${BUILDER}0" buildctl du --filter description~=source-minimal --format '{{range .}}{{println .ID}}{{end}}' | sort
}
kept >/kept
first "$LIST" | sdk sdk-first source-minimal "$IMAGE/sdk"
others "$LIST" | sdk sdk source-minimal "$IMAGE/sdk"
mapfile -t added < <(comm -13 /kept <(kept) | sed 's/^/--filter=id==/')
[ -z "${added[*]}" ] || docker exec "buildx_buildkit_${BUILDER}0" buildctl prune "${added[@]}" >/logs/prune

paste -d ' ' /logs/base-image-minimal.images <(cut -d ' ' -f 2 "$LIST") >/pairs
export AGENT=$(cat /logs/builder.images)
mkdir /thin /linked
cat >/thin/Dockerfile <<'END'
ARG BASE
ARG AGENT
FROM ${AGENT} AS agent
FROM ${BASE}
ARG USERNAME=openhands
COPY --chown=${USERNAME}:${USERNAME} --from=agent /agent-server /agent-server
ENTRYPOINT ["tini", "--", "/agent-server/.venv/bin/python", "-m", "openhands.agent_server"]
END
sed -e '1i # syntax=docker/dockerfile:1.7' -e 's/--chown=[^ ]*/--link --chown=10001:10001/' -e '/ARG USERNAME/d' \
	/thin/Dockerfile >/linked/Dockerfile
# The engine is on the host, where the registry has another name.
outside() { echo "${1/#$INSIDE/$OUTSIDE}"; }
thin() {
	local image; image=$(outside "$IMAGE/thin:$2")
	BUILDX_BUILDER=default docker build --build-arg "BASE=$(outside "$1")" --build-arg "AGENT=$(outside "$AGENT")" --tag "$image" /thin
	docker push "$image"
	docker rmi "$image"
}
linked() { docker buildx build --build-arg "BASE=$1" --build-arg "AGENT=$AGENT" --tag "$IMAGE/linked:$2" --push /linked; }
export -f outside thin linked
# The engine's build cache, which docker rmi leaves: half a gigabyte for each image.
cached() { docker buildx du --builder default | awk '$2 == "true" { sub(/\*$/, "", $1); print $1 }' | sort; }
cached >/cached
for way in linked thin; do
	mark "$way-begin"
	first /pairs | each $way
	mark "$way-first"
	others /pairs | each $way
	mark $way
done
# In one command, because a record can be removed only after those that depend on it.
added=$(comm -13 /cached <(cached) | paste -s -d '|')
[ -z "$added" ] || docker buildx prune --builder default --force --filter "id=^($added)\$" >>/logs/prune
