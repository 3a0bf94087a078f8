"""Asks swt-bench for the images that its evaluation of instances needs.

Arguments: the checkout of swt-bench, a file with one row of the dataset per line as JSON, a folder that keeps the files that
swt-bench fetches, how many seconds a server may say nothing, and, for tests, the address of a server in the place of
raw.githubusercontent.com.
Each line of the output answers for one row. Everything that swt-bench prints goes to standard error.
"""

import concurrent.futures
import contextlib
import hashlib
import json
import os
import platform
import sys
import threading
import types
import urllib.parse

AT_ONCE = 16  # rows
FILE_SECONDS = 60  # for one file
RAW_FILES = "https://raw.githubusercontent.com/"


class NotFetched(Exception):
    """A file did not arrive, and nobody knows whether it is there. swt-bench would go on without it, to another key."""

    def __init__(self, kind, message, retry_after=0.0):
        super().__init__(message)
        self.kind, self.retry_after = kind, retry_after


class Files:
    """Gives the files of commits, which never change: each is fetched once, and kept in a folder."""

    def __init__(self, requests, folder, silence, mirror):
        self.requests, self.get_now, self.folder = requests, requests.get, folder
        self.silence, self.mirror = silence, mirror
        self.lock, self.running, self.absent = threading.Lock(), {}, {}

    def get(self, url, **options):
        """Takes the place of requests.get. All that ask for a file at the same time wait for one request."""
        kept = os.path.join(self.folder, hashlib.sha256(url.encode()).hexdigest())
        with self.lock:
            if url in self.absent:
                return self.absent[url]
            answer = self.running.get(url)
            first = answer is None
            if first:
                answer = self.running[url] = concurrent.futures.Future()
                threading.Thread(target=self.fetch, args=(url, options, kept, answer), daemon=True).start()
        try:
            # A server that sends a byte now and then would hold up the run.
            return answer.result(timeout=FILE_SECONDS)
        except concurrent.futures.TimeoutError:
            raise NotFetched("timeout", f"fetching {url}: it took longer than {FILE_SECONDS} s") from None
        finally:
            if first:
                with self.lock:
                    self.running.pop(url, None)

    def fetch(self, url, options, kept, answer):
        try:
            answer.set_result(self.kept(kept) or self.fetch_now(url, options, kept))
        except BaseException as error:
            answer.set_exception(error)

    def kept(self, path):
        try:
            with open(path, "rb") as file:
                response = self.requests.Response()
                response.status_code, response._content, response.encoding = 200, file.read(), "utf-8"
                return response
        except FileNotFoundError:
            return None

    def fetch_now(self, url, options, kept):
        exceptions, address = self.requests.exceptions, url
        if self.mirror and url.startswith(RAW_FILES):
            address = self.mirror + url[len(RAW_FILES):]
        try:
            response = self.get_now(address, **{**options, "timeout": (self.silence, self.silence)})
        except exceptions.Timeout as error:
            raise NotFetched("timeout", f"fetching {url}: {error}") from None
        except exceptions.RequestException as error:
            raise NotFetched("network", f"fetching {url}: {error}") from None
        status = response.status_code
        print(f"fetched {url}: {status}", file=sys.stderr, flush=True)
        if status in (429, 403):
            raise NotFetched("rate-limit" if status == 429 else "auth", f"fetching {url}: the server answered {status}", retry_after(response))
        if status not in (200, 404):
            raise NotFetched("server", f"fetching {url}: the server answered {status}", retry_after(response))
        if status == 404:
            self.absent[url] = response
        else:
            # A thread whose callers have given up may still fetch the same file.
            part = f"{kept}.{threading.get_ident()}.part"
            try:
                with open(part, "wb") as file:
                    file.write(response.text.encode())
                os.replace(part, kept)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.remove(part)
                raise
        return response


def retry_after(response):
    try:
        return min(86400.0, max(0.0, float(response.headers.get("Retry-After", ""))))  # inf is no JSON
    except ValueError:
        return 0.0


def load(checkout):
    """Imports swt-bench's modules one by one: its package imports all of them, and they need many more packages."""
    package = types.ModuleType("src")
    package.__path__ = [os.path.join(checkout, "src")]
    sys.modules["src"] = package
    # The images are for linux/amd64, whatever machine asks.
    platform.machine = lambda: "x86_64"
    from src.exec_spec import make_exec_spec

    return make_exec_spec


def answer(make_exec_spec, row):
    told = {"instance_id": row["instance_id"]}
    try:
        # These columns are for the coverage of tests. No image depends on them.
        spec = make_exec_spec({"golden_code_patch": "", "golden_test_patch": "", "patch": "", "test_patch": "", **row})
        told["platform"] = spec.platform
        told["base"] = {"key": spec.base_image_key, "dockerfile": spec.base_dockerfile}
        told["env"] = {"key": spec.env_image_key, "dockerfile": spec.env_dockerfile, "script": spec.env_script}
    except NotFetched as error:
        told.update(error=str(error), kind=error.kind, retry_after=error.retry_after)
    except Exception as error:
        told.update(error=f"{type(error).__name__}: {error}", kind="harness")
    return told


def main():
    checkout, rows, folder, silence, mirror = sys.argv[1:6]
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.makedirs(folder, exist_ok=True)
    import requests

    requests.get = Files(requests, folder, float(silence), mirror).get
    make_exec_spec = load(checkout)
    with open(rows) as lines:
        asked = [json.loads(line) for line in lines]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for told in pool.map(lambda row: answer(make_exec_spec, row), asked):
            print(json.dumps(told), file=out, flush=True)
    os._exit(0)  # a request that hangs has a thread of its own


main()
