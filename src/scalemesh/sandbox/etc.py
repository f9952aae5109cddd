"""The /etc that steps see: written anew for each session, nothing of the host's but public tables."""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
REGISTRIES = ("NPM_CONFIG_REGISTRY", "PIP_INDEX_URL", "UV_DEFAULT_INDEX")
_PUBLIC = ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d")  # links into /usr and the loader's tables
_BUNDLES = (CA_BUNDLE, "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem")
_FILES = {
    "passwd": "root:x:0:0:root:/root:/usr/sbin/nologin\nbuild:x:1000:1000:build:/home/build:/bin/sh\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "group": "root:x:0:\nbuild:x:1000:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost build\n::1 localhost ip6-localhost\n",
    "resolv.conf": "nameserver 127.0.0.1\noptions timeout:10 attempts:2\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
    "services": "ssh 22/tcp\ndomain 53/tcp\ndomain 53/udp\nhttp 80/tcp\nhttps 443/tcp\ngit 9418/tcp\n",
    "protocols": "ip 0 IP\nicmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\n",
    "os-release": "NAME=Scale Mesh\nID=scalemesh\n",
    "gitconfig": "[safe]\n\tdirectory = *\n",
}


def write(directory: Path, environ: Mapping[str, str]) -> None:
    """Fill `directory` with the generated files."""
    certs = directory / "ssl" / "certs"
    certs.mkdir(parents=True, exist_ok=True)
    for name, text in _FILES.items():
        (directory / name).write_text(text)
    if bundle := ca_bundle(environ):
        (certs / "ca-certificates.crt").write_bytes(bundle.read_bytes())
        for alias in (directory / "ssl" / "cert.pem",):
            alias.unlink(missing_ok=True)
            alias.symlink_to(CA_BUNDLE)
    for name in _PUBLIC:
        if (Path("/etc") / name).is_dir():
            (directory / name).mkdir(exist_ok=True)
        elif (Path("/etc") / name).is_file():
            (directory / name).touch()


def public_paths() -> list[Path]:
    """The host's own files that appear in /etc: package managers' links into /usr and the loader's cache."""
    return [path for name in _PUBLIC if (path := Path("/etc") / name).exists()]


def ca_bundle(environ: Mapping[str, str]) -> Path | None:
    """The certificate authorities that the operator trusts: `SSL_CERT_FILE`, else OpenSSL's, else the usual places."""
    candidates = (environ.get("SSL_CERT_FILE"), ssl.get_default_verify_paths().cafile, *_BUNDLES)
    return next((Path(c) for c in candidates if c and os.access(c, os.R_OK)), None)


def ca_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables for tools that bring their own authorities, only where the operator has added some."""
    custom = environ.get("SSL_CERT_FILE") or environ.get("NODE_EXTRA_CA_CERTS")
    names = ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE", "PIP_CERT", "DENO_CERT")
    return dict.fromkeys(names, CA_BUNDLE) if custom else {}


def registries(environ: Mapping[str, str]) -> dict[str, str]:
    """The operator's mirrors of the package registries; not with a password in it, which a build would learn."""
    mirrors = {name: environ[name] for name in REGISTRIES if environ.get(name) and "@" not in environ[name]}
    if npm := mirrors.get("NPM_CONFIG_REGISTRY"):
        mirrors["YARN_NPM_REGISTRY_SERVER"] = npm  # the one of npm's clients that does not read npm's own variable
    return mirrors
