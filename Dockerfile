# The action's own image. The runner may build it with the classic builder, so it has no heredoc, no RUN --mount and no
# COPY --chmod; and no USER and no WORKDIR, which container actions must not set.
FROM golang:1.26.8-trixie AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 GOCACHE=/tmp/cache go build -trimpath -ldflags '-s -w' -o /eval-images . && rm -rf /tmp/cache

FROM debian:13.7-slim
# Upstream versions are pinned, Debian's revisions of them are not: they are security updates, and replace each other.
# Debian's git comes with Perl and with servers, which nothing here runs: without them this layer has 161 MB instead of 235.
RUN apt-get update \
	&& DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
		ca-certificates \
		docker-buildx=0.13.1* \
		docker-cli=26.1.5* \
		git=1:2.47.* \
		python3=3.13.* \
		tini=0.19.0* \
	&& dpkg --purge --force-depends \
		$(dpkg-query --show --showformat '${Package} ' perl 'perl-modules-5*' 'libperl5*' liberror-perl 'libgdbm*') \
	&& cd /usr/lib/git-core \
	&& rm -r git-daemon git-http-backend git-http-push git-imap-send git-shell scalar /usr/bin/git-shell /usr/bin/scalar /usr/share/gitweb \
	&& rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
# The runner's workspace belongs to another user than the container's root.
RUN git config --system --add safe.directory '*'
COPY --from=ghcr.io/astral-sh/uv:0.13.9 /uv /usr/local/bin/uv
COPY --from=build /eval-images /eval-images
# The runner starts the post step by another path, without arguments.
RUN ln -s /eval-images /eval-images-post
# The SDK's environment is made of Debian's Python. An SDK that names another one has uv fetch it, with a warning.
ENV UV_PYTHON=/usr/bin/python3.13 UV_PYTHON_DOWNLOADS=never
# Process 1 has to reap what killed builds leave behind.
ENTRYPOINT ["tini", "--", "/eval-images"]
