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
KIND = "(models|datasets|spaces)"
NAME = r"([\w.-]+/[\w.-]+)"


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
        self.body = self._read_body()
        with self.server.lock:
            self.server.requests.append(f"{method} {path}")
        if isinstance(fault, (int, tuple)):
            status, headers = fault if isinstance(fault, tuple) else (fault, {})
            return self._json({"error": f"fault {status}"}, status, headers)
        self.lost = fault == "lost"
        for pattern, handle in ROUTES:
            if found := re.fullmatch(pattern, f"{method} {path}"):
                with self.server.lock:
                    return handle(self, *found.groups())
        self._json({"error": f"no such page: {path}"}, 404)

    def _next_fault(self, path: str):
        for part, answers in self.server.faults.items():
            if part in path and answers:
                return answers.pop(0)
        return None

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

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
        found = self.server.repositories.get(f"{kind}/{name}")
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        hidden = (
            found and found.private and name.split("/")[0] not in self.server.tokens.get(token, ())
        )
        if found is None or hidden:
            self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
            return None
        return found

    # What the client asks for

    def create(self) -> None:
        wanted = json.loads(self.body)
        name = f"{wanted['organization']}/{wanted['name']}"
        if not self._may_write(name):
            return
        kind = f"{wanted.get('type') or 'model'}s"
        key, url = f"{kind}/{name}", f"{self.server.url}/{name}"
        if key in self.server.repositories:
            return self._json({"error": "You already created this repo", "url": url}, 409)
        private = wanted.get("private") or wanted.get("visibility") == "private"
        self.server.repositories[key] = Repository(bool(private))
        self.server.repositories[key].add({".gitattributes": b"*.onnx filter=lfs\n"}, "initial")
        self._json({"url": url, "name": name})

    def info(self, kind: str, name: str, revision: str | None = None) -> None:
        repository = self._repository(kind, name)
        if repository is None:
            return
        commit = repository.resolve(revision or "main")
        if commit is None:
            return self._json(
                {"error": "Invalid rev id"}, 404, {"X-Error-Code": "RevisionNotFound"}
            )
        siblings = []
        for path, content in sorted(repository.commits[commit].items()):
            entry = {"rfilename": path}
            if "blobs" in self.query:
                entry |= {"blobId": git_hash(content), "size": len(content)}
                if path.endswith(LFS_SUFFIXES):
                    sha256 = hashlib.sha256(content).hexdigest()
                    entry["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 134}
            siblings.append(entry)
        self._json({"id": name, "sha": commit, "private": repository.private, "siblings": siblings})

    def tree(self, kind: str, name: str, revision: str, under: str = "") -> None:
        repository = self._repository(kind, name)
        if repository is None:
            return
        found = repository.commits[repository.resolve(revision)]
        found = {path: content for path, content in found.items() if path.startswith(under)}
        self._json([_tree_entry(path, content) for path, content in sorted(found.items())])

    def paths_info(self, kind: str, name: str, revision: str) -> None:
        repository = self._repository(kind, name)
        if repository is None:
            return
        if "json" in self.headers.get("Content-Type", ""):
            wanted = json.loads(self.body)["paths"]
        else:
            wanted = parse_qs(self.body.decode())["paths"]
        found = repository.commits[repository.resolve(revision)]
        folders = {path.rsplit("/", 1)[0] for path in found if "/" in path}
        self._json(
            [_tree_entry(path, found[path]) for path in wanted if path in found]
            + [
                {"type": "directory", "path": path, "oid": "0" * 40}
                for path in wanted
                if path in folders
            ]
        )

    def refs(self, kind: str, name: str) -> None:
        repository = self._repository(kind, name)
        if repository is None:
            return
        branches = {
            name: commit
            for name, commit in repository.branches.items()
            if not name.startswith("refs/pr/")
        }
        proposed = [
            {"name": ref, "ref": ref, "targetCommit": commit}
            for ref, commit in repository.branches.items()
            if ref not in branches
        ]
        shown = {
            place: [
                {"name": ref, "ref": f"refs/{folder}/{ref}", "targetCommit": commit}
                for ref, commit in names.items()
            ]
            for place, folder, names in (
                ("branches", "heads", branches),
                ("tags", "tags", repository.tags),
            )
        }
        self._json(shown | {"converts": [], "pullRequests": proposed})

    def branch(self, kind: str, name: str, branch: str) -> None:
        repository = self._repository(kind, name)
        if repository is None or not self._may_write(name):
            return
        if branch in repository.branches:
            return self._json({"error": "Reference already exists"}, 409)
        repository.branches[branch] = repository.branches["main"]
        self._json({})

    def tag(self, kind: str, name: str, revision: str) -> None:
        repository = self._repository(kind, name)
        if repository is None or not self._may_write(name):
            return
        tag = json.loads(self.body)["tag"]
        if tag in repository.tags:
            return self._json({"error": "Tag reference exists already"}, 409)
        repository.tags[tag] = repository.resolve(revision)
        self._json({})

    def validate(self) -> None:
        content = json.loads(self.body)["content"]
        good = content.startswith("---\n") and "\n---\n" in content
        errors = [] if good else [{"message": "no metadata"}]
        self._json({"errors": errors, "warnings": []}, 200 if good else 400)

    def preupload(self, kind: str, name: str, revision: str) -> None:
        repository = self._repository(kind, name)
        if repository is None or not self._may_write(name):
            return
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LFS_SUFFIXES) else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(self.body)["files"]
        ]
        self._json({"files": files})

    def lfs_batch(self, kind: str | None, name: str) -> None:
        self.query["create_pr"] = ["1"]  # whether the files may be committed is asked later
        if not self._may_write(name):
            return
        objects = []
        for wanted in json.loads(self.body)["objects"]:
            entry = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.server.lfs:
                entry["actions"] = {"upload": {"href": f"{self.server.url}/lfs/{wanted['oid']}"}}
            objects.append(entry)
        self._json({"transfer": "basic", "objects": objects})

    def lfs_put(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            return self._json({"error": "checksum"}, 400)
        self.server.lfs[oid] = self.body
        self._json({})

    def commit(self, kind: str, name: str, revision: str) -> None:
        repository = self._repository(kind, name)
        if repository is None or not self._may_write(name):
            return
        number = 1 + sum(name.startswith("refs/pr/") for name in repository.branches)
        branch = f"refs/pr/{number}" if "create_pr" in self.query else revision
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
        parent = header.get("parentCommit")
        if parent and parent != repository.resolve(revision):
            return self._json({"error": "A commit has happened since. Please refresh."}, 412)
        oid = repository.add(tree, header["summary"], branch)
        url = f"{self.server.url}/{name}/commit/{oid}"
        self._json({"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""} | (
            {"pullRequestUrl": f"{self.server.url}/{name}/discussions/{number}"}
            if "create_pr" in self.query else {}
        ))  # fmt: skip

    def variable(self, name: str) -> None:
        repository = self._repository("spaces", name)
        if repository is None or not self._may_write(name):
            return
        wanted = json.loads(self.body)
        repository.variables[wanted["key"]] = wanted["value"]
        self._json({wanted["key"]: {"key": wanted["key"], "value": wanted["value"]}})

    def resolve(self, kind: str | None, name: str, revision: str, path: str) -> None:
        repository = self._repository((kind or "models").strip("/"), name)
        if repository is None:
            return
        commit = repository.resolve(revision)
        content = repository.commits.get(commit, {}).get(path)
        if content is None:
            return self._json(
                {"error": "Entry not found"},
                404,
                {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit or ""},
            )
        is_lfs = path.endswith(LFS_SUFFIXES)
        etag = hashlib.sha256(content).hexdigest() if is_lfs else git_hash(content)
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": commit}
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end = int(found[1]), int(found[2] or len(content) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
            return self._send(content[start : end + 1], 206, headers)
        self._send(content, 200, headers)


def _tree_entry(path: str, content: bytes) -> dict:
    entry = {"type": "file", "path": path, "size": len(content), "oid": git_hash(content)}
    if path.endswith(LFS_SUFFIXES):
        entry["lfs"] = {
            "oid": hashlib.sha256(content).hexdigest(),
            "size": len(content),
            "pointerSize": 134,
        }
    return entry


ROUTES = [
    (r"POST /api/repos/create", Handler.create),
    (r"POST /api/validate-yaml", Handler.validate),
    (rf"POST /api/spaces/{NAME}/variables", Handler.variable),
    (rf"GET /api/{KIND}/{NAME}", Handler.info),
    (rf"GET /api/{KIND}/{NAME}/revision/(.+)", Handler.info),
    (rf"GET /api/{KIND}/{NAME}/tree/([^/]+)/?(.*)", Handler.tree),
    (rf"POST /api/{KIND}/{NAME}/paths-info/(.+)", Handler.paths_info),
    (rf"GET /api/{KIND}/{NAME}/refs", Handler.refs),
    (rf"POST /api/{KIND}/{NAME}/branch/(.+)", Handler.branch),
    (rf"POST /api/{KIND}/{NAME}/tag/(.+)", Handler.tag),
    (rf"POST /api/{KIND}/{NAME}/preupload/(.+)", Handler.preupload),
    (rf"POST /api/{KIND}/{NAME}/commit/(.+)", Handler.commit),
    (rf"POST /(?:{KIND}/)?{NAME}\.git/info/lfs/objects/batch", Handler.lfs_batch),
    (r"PUT /lfs/(\w+)", Handler.lfs_put),
    (rf"(?:GET|HEAD) /(datasets/|spaces/)?{NAME}/resolve/([^/]+)/(.+)", Handler.resolve),
]
