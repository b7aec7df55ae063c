"""A small Hub on loopback: what huggingface_hub's client needs to publish and to download."""

import base64
import hashlib
import json
import re
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from huggingface_hub.utils.sha import git_hash

LFS_SUFFIXES = (".safetensors", ".onnx", ".parquet", ".png")


def files_of(folder: Path) -> dict[str, bytes]:
    """Of a folder what a repository's tree is: content by path."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


@dataclass
class Repository:
    private: bool
    sdk: str | None = None  # of a Space
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)  # id -> whole tree
    messages: list[str] = field(default_factory=list)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    def add(self, tree: dict[str, bytes], message: str, branch: str = "main") -> str:
        commit = hashlib.sha1(f"{len(self.commits)}{message}".encode()).hexdigest()
        self.commits[commit] = dict(tree)
        self.messages.append(message)
        self.branches[branch] = commit
        return commit

    def resolve(self, revision: str) -> str | None:
        for names in (self.branches, self.tags):
            if revision in names:
                return names[revision]
        return revision if revision in self.commits else None

    @property
    def tree(self) -> dict[str, bytes]:
        return self.commits[self.branches["main"]]


class HubServer(ThreadingHTTPServer):
    """
    Attributes:
        repositories: by "models/owner/name".
        faults: by part of a path -> answers to give first, in order: a status, (status, headers),
            "cut" (the connection drops in the middle of the request) or "lost" (the request is
            carried out, and the connection drops before the answer).
        tokens: token -> owner names it may write to.
        requests: "METHOD path" of all that came.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.lfs: dict[str, bytes] = {}
        self.faults: dict[str, list] = defaultdict(list)
        self.tokens = {"hf_writer": {"me"}, "hf_reader": set()}
        self.requests: list[str] = []
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        pass  # connections that a fault cuts


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def do_GET(self):
        self._answer("GET")

    def do_HEAD(self):
        self._answer("HEAD")

    def do_POST(self):
        self._answer("POST")

    def do_PUT(self):
        self._answer("PUT")

    def log_message(self, *args):
        pass

    def _answer(self, method: str) -> None:
        split = urlsplit(self.path)
        path, self.query = unquote(split.path), parse_qs(split.query)
        self.method = method
        fault = self._next_fault(path)
        if fault == "cut":
            self.rfile.read(min(1000, int(self.headers.get("Content-Length") or 1)))
            return self._drop()
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.lock:
            self.server.requests.append(f"{method} {path}")
        if isinstance(fault, (int, tuple)):
            status, headers = fault if isinstance(fault, tuple) else (fault, {})
            return self._json({"error": f"fault {status}"}, status, headers)
        self.lost = fault == "lost"
        for pattern, handle, writes in ROUTES:
            if match := re.fullmatch(pattern, f"{method} {path}"):
                with self.server.lock:
                    return self._handle(handle, writes, **match.groupdict())
        self._json({"error": f"no such page: {path}"}, 404)

    def _handle(self, handle, writes: bool, name=None, kind="models", **groups) -> None:
        """Calls `handle` with the repository that the path names, if it may be read or written."""
        if name is not None:
            repository = self._repository((kind or "models").strip("/"), name)
            if repository is None or (writes and not self._may_write(name)):
                return
            groups["repository"] = repository
            self.name = name
        handle(self, **groups)

    def _next_fault(self, path: str):
        for part, answers in self.server.faults.items():
            if part in path and answers:
                return answers.pop(0)
        return None

    def _drop(self) -> None:
        self.close_connection = True
        self.connection.close()

    def _json(self, content, status: int = 200, headers: dict | None = None) -> None:
        if getattr(self, "lost", False):
            return self._drop()
        self._send(json.dumps(content).encode(), status, headers or {})

    def _send(self, body: bytes, status: int, headers: dict) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": len(body)} | headers).items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.method != "HEAD":
            self.wfile.write(body)

    def _may_write(self, name: str) -> bool:
        """Answers 401 or 403 where not; anybody with a token may propose a change."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.server.tokens:
            self._json({"error": "Invalid username or password."}, 401)
            return False
        if name.split("/")[0] not in self.server.tokens[token] and "create_pr" not in self.query:
            self._json({"error": "You don't have the rights to write there."}, 403)
            return False
        return True

    def _repository(self, kind: str, name: str) -> Repository | None:
        """Answers 404 where there is none, or none that the token may see."""
        repository = self.server.repositories.get(f"{kind}/{name}")
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        owns = name.split("/")[0] in self.server.tokens.get(token, ())
        if repository is None or (repository.private and not owns):
            self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
            return None
        return repository

    # What the client asks for

    def create(self) -> None:
        wanted = json.loads(self.body)
        name = f"{wanted['organization']}/{wanted['name']}"
        if not self._may_write(name):
            return
        key = f"{wanted.get('type') or 'model'}s/{name}"
        if key in self.server.repositories:
            return self._json({"error": "You already created this repo"}, 409)
        private = wanted.get("private") or wanted.get("visibility") == "private"
        self.server.repositories[key] = Repository(bool(private), wanted.get("sdk"))
        self.server.repositories[key].add({".gitattributes": b"*.onnx filter=lfs\n"}, "initial")
        self._json({"url": f"{self.server.url}/{name}", "name": name})

    def info(self, repository: Repository, revision: str = "main") -> None:
        commit = repository.resolve(revision)
        if commit is None:
            headers = {"X-Error-Code": "RevisionNotFound"}
            return self._json({"error": "Invalid rev id"}, 404, headers)
        siblings = []
        for path, content in sorted(repository.commits[commit].items()):
            entry = {"rfilename": path, "blobId": git_hash(content), "size": len(content)}
            if path.endswith(LFS_SUFFIXES):
                entry["lfs"] = _lfs(content, "sha256")
            siblings.append(entry)
        answer = {"id": self.name, "sha": commit, "private": repository.private}
        self._json(answer | {"siblings": siblings})

    def tree(self, repository: Repository, revision: str, under: str) -> None:
        files = repository.commits[repository.resolve(revision)]
        entries = []
        for path, content in sorted(files.items()):
            if path.startswith(under):
                entry = {"type": "file", "path": path, "size": len(content)}
                lfs = {"lfs": _lfs(content, "oid")} if path.endswith(LFS_SUFFIXES) else {}
                entries.append(entry | {"oid": git_hash(content)} | lfs)
        self._json(entries)

    def refs(self, repository: Repository) -> None:
        def shown(names: dict[str, str], folder: str) -> list[dict]:
            return [
                {"name": name, "ref": f"{folder}{name}", "targetCommit": commit}
                for name, commit in names.items()
            ]

        proposed = {name: of for name, of in repository.branches.items() if "refs/pr/" in name}
        branches = {name: of for name, of in repository.branches.items() if name not in proposed}
        self._json(
            {
                "branches": shown(branches, "refs/heads/"),
                "tags": shown(repository.tags, "refs/tags/"),
                "converts": [],
                "pullRequests": shown(proposed, ""),
            }
        )

    def branch(self, repository: Repository, branch: str) -> None:
        repository.branches[branch] = repository.branches["main"]
        self._json({})

    def tag(self, repository: Repository, revision: str) -> None:
        repository.tags[json.loads(self.body)["tag"]] = repository.resolve(revision)
        self._json({})

    def validate(self) -> None:
        content = json.loads(self.body)["content"]
        good = content.startswith("---\n") and "\n---\n" in content
        self._json({"errors": [], "warnings": []}, 200 if good else 400)

    def preupload(self, repository: Repository) -> None:
        files = []
        for file in json.loads(self.body)["files"]:
            mode = "lfs" if file["path"].endswith(LFS_SUFFIXES) else "regular"
            files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False})
        self._json({"files": files})

    def lfs_batch(self, repository: Repository) -> None:
        self.query["create_pr"] = ["1"]  # whether the files may be committed is asked later
        if not self._may_write(self.name):
            return
        objects = []
        for wanted in json.loads(self.body)["objects"]:
            entry = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.server.lfs:
                entry["actions"] = {"upload": {"href": f"{self.server.url}/lfs/{wanted['oid']}"}}
            objects.append(entry)
        self._json({"transfer": "basic", "objects": objects})

    def lfs_put(self, oid: str) -> None:
        whole = hashlib.sha256(self.body).hexdigest() == oid
        if whole:
            self.server.lfs[oid] = self.body
        self._json({}, 200 if whole else 400)

    def commit(self, repository: Repository, revision: str) -> None:
        proposed = "create_pr" in self.query
        number = 1 + sum("refs/pr/" in name for name in repository.branches)
        header, tree = {}, dict(repository.commits[repository.resolve(revision)])
        for line in self.body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                header = value
            elif entry["key"] == "file":
                tree[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                tree[value["path"]] = self.server.lfs[value["oid"]]
            elif entry["key"] == "deletedFile":
                del tree[value["path"]]
        if header.get("parentCommit") not in (None, repository.resolve(revision)):
            return self._json({"error": "A commit has happened since. Please refresh."}, 412)
        branch = f"refs/pr/{number}" if proposed else revision
        oid, url = repository.add(tree, header["summary"], branch), f"{self.server.url}/{self.name}"
        answer = {"success": True, "commitOid": oid, "commitUrl": f"{url}/commit/{oid}"}
        opened = {"pullRequestUrl": f"{url}/discussions/{number}"} if proposed else {}
        self._json(answer | {"hookOutput": ""} | opened)

    def variable(self, repository: Repository) -> None:
        wanted = json.loads(self.body)
        repository.variables[wanted["key"]] = wanted["value"]
        self._json({wanted["key"]: {"key": wanted["key"], "value": wanted["value"]}})

    def resolve(self, repository: Repository, revision: str, path: str) -> None:
        commit = repository.resolve(revision)
        content = repository.commits.get(commit, {}).get(path)
        if content is None:
            headers = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit or ""}
            return self._json({"error": "Entry not found"}, 404, headers)
        is_lfs = path.endswith(LFS_SUFFIXES)
        etag = hashlib.sha256(content).hexdigest() if is_lfs else git_hash(content)
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": commit}
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end = int(match[1]), int(match[2] or len(content) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
            return self._send(content[start : end + 1], 206, headers)
        self._send(content, 200, headers)


def _lfs(content: bytes, key: str) -> dict:
    digest = hashlib.sha256(content).hexdigest()
    return {key: digest, "size": len(content), "pointerSize": 134}


KIND = "(?P<kind>models|datasets|spaces)"
NAME = r"(?P<name>[\w.-]+/[\w.-]+)"
API = f"/api/{KIND}/{NAME}"
FILE = rf"{NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)"
ROUTES = [  # method and path, what answers, whether it writes to the repository
    (r"POST /api/repos/create", Handler.create, False),
    (r"POST /api/validate-yaml", Handler.validate, False),
    (rf"POST {API}/variables", Handler.variable, True),
    (rf"GET {API}", Handler.info, False),
    (rf"GET {API}/revision/(?P<revision>.+)", Handler.info, False),
    (rf"GET {API}/tree/(?P<revision>[^/]+)/?(?P<under>.*)", Handler.tree, False),
    (rf"GET {API}/refs", Handler.refs, False),
    (rf"POST {API}/branch/(?P<branch>.+)", Handler.branch, True),
    (rf"POST {API}/tag/(?P<revision>.+)", Handler.tag, True),
    (rf"POST {API}/preupload/.+", Handler.preupload, True),
    (rf"POST {API}/commit/(?P<revision>.+)", Handler.commit, True),
    (rf"POST /(?:{KIND}/)?{NAME}\.git/info/lfs/objects/batch", Handler.lfs_batch, False),
    (r"PUT /lfs/(?P<oid>\w+)", Handler.lfs_put, False),
    (rf"(?:GET|HEAD) /(?P<kind>datasets/|spaces/)?{FILE}", Handler.resolve, False),
]
