"""Signed addresses at which a build server may put or read one blob itself, past the API: S3 only.

To put: the blob's SHA-256 is among the signed headers, so the store refuses any other bytes (BadDigest), and
`If-None-Match` lets nobody write over what is there. A signature lives for SIGNED_S; whoever holds it can do nothing
else with it. botocore signs, because obstore signs no headers; keys come from where AWS's tools look for them.
"""

import base64
import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from scalemesh.artifacts.names import blob_path
from scalemesh.core.build import BlobRef, SignedPut
from scalemesh.errors import BadSettings

SIGNED_S = 15 * 60
MAX_BYTES = 5 * 1024**3  # S3's largest single PUT; its multipart uploads have no hash of the whole


class Presigner:
    """`puts` answers nothing for a store that cannot do this: then blobs travel through the API."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._bucket, self._prefix = (parts.netloc, parts.path.strip("/")) if parts.scheme == "s3" else ("", "")

    def puts(self, team: str, refs: Sequence[BlobRef]) -> list[SignedPut]:
        """One for each blob, in order; [] where the store does not sign. Raises BadSettings."""
        return [self._put(team, ref) for ref in refs] if self._bucket else []

    def gets(self, team: str, hashes: Sequence[str]) -> dict[str, str]:
        """Blob → where it is read; {} where the store does not sign. Raises BadSettings."""
        return {sha256: self._url("get_object", team, sha256) for sha256 in hashes} if self._bucket else {}

    def _put(self, team: str, ref: BlobRef) -> SignedPut:
        checksum = base64.b64encode(bytes.fromhex(ref.sha256)).decode()
        signed = {"ChecksumSHA256": checksum, "ContentLength": ref.size, "IfNoneMatch": "*"}
        url = self._url("put_object", team, ref.sha256, **signed)
        headers = {"Content-Length": str(ref.size), "If-None-Match": "*", "x-amz-checksum-sha256": checksum}
        return SignedPut(sha256=ref.sha256, url=url, headers=headers)

    def _url(self, act: str, team: str, sha256: str, **headers: object) -> str:
        path = blob_path(team, sha256)
        of = {"Bucket": self._bucket, "Key": f"{self._prefix}/{path}" if self._prefix else path}
        return str(self._client.generate_presigned_url(act, Params={**of, **headers}, ExpiresIn=SIGNED_S))

    @cached_property
    def _client(self) -> Any:
        try:
            from botocore.config import Config
            from botocore.session import get_session
        except ModuleNotFoundError as error:
            raise BadSettings(
                "SCALEMESH_STORAGE_URL=s3://… needs botocore.",
                hint="Install it: pip install 'scalemesh[s3]'.",
                field="SCALEMESH_STORAGE_URL",
            ) from error
        style = {"addressing_style": "path" if "AWS_ENDPOINT_URL" in os.environ else "auto"}
        config = Config(signature_version="s3v4", s3=style, request_checksum_calculation="when_required")
        return get_session().create_client("s3", config=config)
