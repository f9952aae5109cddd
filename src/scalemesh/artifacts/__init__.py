"""Artifacts: what a deployment is made of, named by the SHA-256 of its bytes, per team.

store: blobs over obstore (disk, memory, S3, …), hashed while they are stored. pack: a folder as a Manifest and its
blobs, compressed variants included; it follows no link. receipt: what a manifest must satisfy before it is served.
frames: many blobs in one body. Invariant: nothing lies under a name that is not its hash. Imports core and errors only;
`pack`, `frames` and `types` never import obstore.
"""
