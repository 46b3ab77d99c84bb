#!/usr/bin/env python3
"""Lists and restores the points of a Strata store that is a directory.

Written from docs/format.md alone, to show that the document is enough: it shares no code with Strata, not even a
language. The numbers in comments are sections of that document. It needs python3-cryptography and python3-zstandard;
BLAKE3 is below. It is meant to be read, and is slow.

    read_point.py STORE [--key-file FILE] points
    read_point.py STORE [--key-file FILE] restore POINT DISK TARGET
    read_point.py STORE [--key-file FILE] sums [POINT...]      SHA-256 of every disk of these points, or of all

Without --key-file the passphrase comes from STRATA_PASSPHRASE, or the key of a recovery sheet from STRATA_RECOVERY_KEY: its
four lines. --skip-digests leaves out the BLAKE3 digests of blocks,
pages and nodes (the seals are checked all the same), which makes it many times as fast.
"""

import argparse
import base64
import binascii
import hashlib
import hmac
import io
import json
import os
import re
import struct
import sys
import unicodedata
from pathlib import Path

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ENTRIES_MAX = 1024
ZERO_DIGEST = bytes(32)


class Refused(Exception):
    """Something in the store is not what the format says."""


def require(condition, what):
    if not condition:
        raise Refused(what)


# ── 4.1 XAES-256-GCM ────────────────────────────────────────────────────────────────────────────────────────────────


def aes_block(key, block):
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return encryptor.update(block) + encryptor.finalize()


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def xaes_open(key, nonce, aad, sealed, what):
    l = int.from_bytes(aes_block(key, bytes(16)), "big")
    k1 = (l << 1) & (2**128 - 1)
    if l >> 127:
        k1 ^= 0x87
    k1 = k1.to_bytes(16, "big")
    salt = nonce[:12]
    derived = b"".join(aes_block(key, xor(bytes([0, i, 0x58, 0]) + salt, k1)) for i in (1, 2))
    try:
        return AESGCM(derived).decrypt(nonce[12:24], sealed, aad)
    except InvalidTag:
        raise Refused(f"{what} does not open") from None


# ── 4.2 HPKE, 4.3 derived keys ──────────────────────────────────────────────────────────────────────────────────────


def hmac_sha256(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def derive(secret, salt, info):
    return hmac_sha256(hmac_sha256(salt, secret), info + b"\x01")


def labeled_extract(suite, salt, label, ikm):
    return hmac_sha256(salt, b"HPKE-v1" + suite + label + ikm)


def labeled_expand(suite, prk, label, info, length):
    labeled = struct.pack(">H", length) + b"HPKE-v1" + suite + label + info
    return hmac_sha256(prk, labeled + b"\x01")[:length]


def hpke_open(private_key, info, aad, enc, ct, what):
    kem = b"KEM" + bytes.fromhex("0020")
    secret_key = X25519PrivateKey.from_private_bytes(private_key)
    try:
        dh = secret_key.exchange(X25519PublicKey.from_public_bytes(enc))
    except ValueError:
        raise Refused(f"{what}: a point of small order") from None
    public_key = secret_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    shared = labeled_expand(kem, labeled_extract(kem, b"", b"eae_prk", dh), b"shared_secret", enc + public_key, 32)

    suite = b"HPKE" + bytes.fromhex("002000010002")
    context = b"\x00" + labeled_extract(suite, b"", b"psk_id_hash", b"") + labeled_extract(suite, b"", b"info_hash", info)
    secret = labeled_extract(suite, shared, b"secret", b"")
    key = labeled_expand(suite, secret, b"key", context, 32)
    nonce = labeled_expand(suite, secret, b"base_nonce", context, 12)
    try:
        return AESGCM(key).decrypt(nonce, ct, aad)
    except InvalidTag:
        raise Refused(f"{what} does not open") from None


# ── BLAKE3 ──────────────────────────────────────────────────────────────────────────────────────────────────────────

BLAKE3_IV = [0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19]
PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]
COLUMNS_AND_DIAGONALS = [
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
]  # fmt: skip
CHUNK_START, CHUNK_END, PARENT, ROOT, KEYED_HASH = 1, 2, 4, 8, 16
MASK = 0xFFFFFFFF


def message_schedule():
    order = list(range(16))
    schedule = []
    for _ in range(7):
        schedule.append([(*places, order[2 * i], order[2 * i + 1]) for i, places in enumerate(COLUMNS_AND_DIAGONALS)])
        order = [order[p] for p in PERMUTATION]
    return [step for one_round in schedule for step in one_round]


SCHEDULE = message_schedule()


def compress(chaining, block, counter, length, flags):
    m = struct.unpack("<16I", block)
    v = [*chaining, *BLAKE3_IV[:4], counter & MASK, counter >> 32, length, flags]
    for a, b, c, d, x, y in SCHEDULE:
        va, vb, vc, vd = v[a], v[b], v[c], v[d]
        va = (va + vb + m[x]) & MASK
        vd ^= va
        vd = (vd >> 16) | (vd << 16) & MASK
        vc = (vc + vd) & MASK
        vb ^= vc
        vb = (vb >> 12) | (vb << 20) & MASK
        va = (va + vb + m[y]) & MASK
        vd ^= va
        vd = (vd >> 8) | (vd << 24) & MASK
        vc = (vc + vd) & MASK
        vb ^= vc
        v[a], v[b], v[c], v[d] = va, (vb >> 7) | (vb << 25) & MASK, vc, vd
    return [v[i] ^ v[i + 8] for i in range(8)]


def blake3_keyed(key, data):
    """32 bytes. The tree is built as a binary counter: a stack of the chaining values of finished subtrees."""
    words = list(struct.unpack("<8I", key))
    stack = []
    chunks = max(1, -(-len(data) // 1024))
    for index in range(chunks):
        output = chunk_output(words, data[index * 1024 : (index + 1) * 1024], index)
        if index == chunks - 1:
            break
        value = compress(*output)
        finished = index + 1
        while finished % 2 == 0:
            value = compress(words, struct.pack("<16I", *stack.pop(), *value), 0, 64, KEYED_HASH | PARENT)
            finished //= 2
        stack.append(value)
    while stack:
        output = (words, struct.pack("<16I", *stack.pop(), *compress(*output)), 0, 64, KEYED_HASH | PARENT)
    chaining, block, counter, length, flags = output
    return struct.pack("<8I", *compress(chaining, block, 0 if flags & PARENT else counter, length, flags | ROOT))


def chunk_output(words, chunk, index):
    """The arguments of the chunk's last compression."""
    chaining = words
    blocks = max(1, -(-len(chunk) // 64))
    for i in range(blocks):
        block = chunk[i * 64 : (i + 1) * 64]
        flags = KEYED_HASH | (CHUNK_START if i == 0 else 0) | (CHUNK_END if i == blocks - 1 else 0)
        arguments = (chaining, block.ljust(64, b"\0"), index, len(block), flags)
        if i == blocks - 1:
            return arguments
        chaining = compress(*arguments)
    raise AssertionError("a chunk has a last block")


# ── 2 names, 3 versions, 7 boxes, 8 documents ───────────────────────────────────────────────────────────────────────

BOX_PAGE, BOX_NODE, BOX_ROOT, BOX_MANIFEST, BOX_REGISTRY = 2, 3, 4, 5, 8
ID = re.compile(r"[0-9a-f]{32}")


class Store:
    def __init__(self, directory):
        self.directory = Path(directory)

    def get(self, name, offset=0, length=None):
        try:
            with open(self.directory / name, "rb") as file:
                file.seek(offset)
                data = file.read(-1 if length is None else length)
        except FileNotFoundError:
            raise Refused(f"{name} is missing") from None
        require(length is None or len(data) == length, f"{name} is too short")
        return data

    def has(self, name):
        return (self.directory / name).is_file()

    def list(self, prefix):
        """Names below a prefix that ends in a slash."""
        top = self.directory / prefix
        files = [path for path in top.rglob("*") if path.is_file()]
        return sorted(path.relative_to(self.directory).as_posix() for path in files)


def check_preamble(data, kind, what):
    require(len(data) >= 8 and data[:6] == b"STRATA", f"{what} does not begin with STRATA")
    require(data[6] <= 1, f"{what} is of version {data[6]}, newer than this reader")
    require(data[6] == 1, f"{what} is of version 0")
    require(data[7] == kind, f"{what} is of kind {data[7]}, not {kind}")


def open_box(kind, context, box, index_keys):
    check_preamble(box, kind, context)
    require(len(box) >= 56, f"{context} is too short")
    generation, reserved = struct.unpack_from("<II", box, 8)
    require(reserved == 0, f"{context}: reserved bytes")
    require(generation in index_keys, f"{context} names index key {generation}")
    return xaes_open(index_keys[generation], box[16:40], box[:16] + context.encode(), box[40:], context)


def parse_document(text, what, *titles, versions=(1,)):
    require(len(text) <= 4 << 20, f"{what} is too long")
    try:
        document = json.loads(text.decode("utf-8"))
    except ValueError:
        raise Refused(f"{what} is no JSON") from None
    require(isinstance(document, dict) and document.get("strata") in titles, f"{what} is no {' or '.join(titles)}")
    require(document.get("version") in versions, f"{what} is of version {document.get('version')}")
    return document


# ── 5 keys ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Tenant:
    """A tenant's keys, opened from the newest keys document."""

    def __init__(self, store, tenant, repository, secrets):
        self.store = store
        self.id = tenant
        require(not store.has(f"tenants/{tenant}/destroyed"), f"the keys of {tenant} were destroyed")
        prefix = f"tenants/{tenant}/keys/"
        names = [name for name in store.list(prefix) if re.fullmatch(r"(?!0{8})[0-9]{8}", name[len(prefix) :])]
        require(names, f"{tenant} has no keys")
        name = names[-1]
        text = store.get(name)
        document = parse_document(text, name, "tenant-keys", versions=(1, 2))
        spelled = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
        require(spelled == text and list(document)[-1] == "mac", f"{name} is not spelled as it is written")
        require(document["tenantId"] == tenant and document["repositoryId"] == repository, f"{name} belongs elsewhere")
        require(name.endswith("/%08d" % document["revision"]), f"{name} holds another revision")
        self.ids = bytes.fromhex(tenant) + bytes.fromhex(repository)
        self.private_key = self.open_private_key(document, secrets)
        self.check_mac(document, text)
        self.private_keys = [self.private_key, *self.open_former_keys(document)]
        self.index_keys = {}
        for sealed in document["indexKeys"]:
            generation = sealed["generation"]
            info = b"strata/v1/index-key" + bytes.fromhex(tenant) + struct.pack("<I", generation)
            enc, ct = bytes.fromhex(sealed["encapsulated"]), bytes.fromhex(sealed["sealed"])
            self.index_keys[generation] = hpke_open(self.private_key, info, b"", enc, ct, f"index key {generation}")
        self.name = self.open_name(document["tenantName"])

    def open_former_keys(self, document):
        """Newest first."""
        keys = []
        require(("formerKeys" in document) == (document["version"] == 2), "former keys")
        for former in document.get("formerKeys", []):
            info = b"strata/v1/former-key" + bytes.fromhex(self.id) + bytes.fromhex(former["publicKey"])
            enc, ct = bytes.fromhex(former["encapsulated"]), bytes.fromhex(former["sealed"])
            keys.insert(0, hpke_open(self.private_key, info, b"", enc, ct, "a former key"))
        return keys

    def open_private_key(self, document, secrets):
        wraps = document["privateKeyWraps"]
        require(all(self.is_wrap(wrap, document["version"]) for wrap in wraps), "a wrap of the private key")
        for wrap in wraps:
            salt = bytes.fromhex(wrap["salt"])
            if wrap["kind"] == "passphrase" and secrets["passphrase"]:
                n, r, p = wrap["N"], wrap["r"], wrap["p"]
                secret = unicodedata.normalize("NFKC", secrets["passphrase"]).encode()
                memory = 128 * r * (n + p + 2)
                key = hashlib.scrypt(secret, salt=salt, n=n, r=r, p=p, maxmem=memory, dklen=32)
                numbers = struct.pack("<IIII", 1, n, r, p)
            elif wrap["kind"] == "keyFile" and secrets["key_file"]:
                key = derive(secrets["key_file"], salt, b"strata/v1/key-file")
                numbers = struct.pack("<IIII", 2, 0, 0, 0)
            elif wrap["kind"] == "recoverySheet" and secrets["recovery_key"]:
                key = derive(secrets["recovery_key"], salt, b"strata/v1/recovery-sheet")
                numbers = struct.pack("<IIII", 3, 0, 0, 0)
            else:
                continue
            aad = b"strata/v1/private-key" + self.ids + bytes.fromhex(document["publicKey"]) + numbers + salt
            try:
                return xaes_open(key, bytes.fromhex(wrap["nonce"]), aad, bytes.fromhex(wrap["sealed"]), "the private key")
            except Refused:
                continue
        raise Refused(f"what was given does not open tenant {self.id}")

    @staticmethod
    def is_wrap(wrap, version):
        """One that is none ends the reading of the whole document."""
        later = ["recoverySheet", "awsKms", "azureKeyVault"] if version == 2 else []
        if wrap["kind"] in ["keyFile", *later]:
            return wrap["kdf"] == "hkdf-sha256"
        n, r, p = wrap["N"], wrap["r"], wrap["p"]
        bounded = 2 <= n <= 2**20 and 1 <= r and 1 <= p <= 16 and 128 * n * r <= 256 << 20
        return wrap["kind"] == "passphrase" and wrap["kdf"] == "scrypt" and bounded and n & (n - 1) == 0 and n < 2 ** (16 * r)

    def check_mac(self, document, text):
        key = derive(self.private_key, self.ids, b"strata/v1/tenant-keys")
        require(hmac.compare_digest(hmac_sha256(key, text[:-74] + b"}").hex(), document["mac"]), "the keys document's mac")

    def open_name(self, sealed):
        key, nonce = self.index_keys[sealed["generation"]], bytes.fromhex(sealed["nonce"])
        aad = b"strata/v1/tenant-name" + self.ids
        return xaes_open(key, nonce, aad, bytes.fromhex(sealed["sealed"]), "the tenant's name").decode()

    def set_id(self, name):
        key = derive(self.index_keys[1], b"", b"strata/v1/set-name")
        return hmac_sha256(key, unicodedata.normalize("NFC", name).encode())[:16].hex()

    def open_data_key(self, wrapped):
        """5.4: the key's id and the key."""
        key_id, enc, ct = wrapped[:16], wrapped[16:48], wrapped[48:96]
        info = b"strata/v1/data-key" + bytes.fromhex(self.id)
        what = f"data key {key_id.hex()}"
        for private_key in self.private_keys:
            try:
                return key_id, hpke_open(private_key, info, key_id, enc, ct, what)
            except Refused:
                continue
        raise Refused(f"{what} does not open")


def read_key_file(path):
    first, second = Path(path).read_text("utf-8").split("\n")[:2]
    require(re.match(r"Strata key file 1(?!\d)", first), f"{path} is no key file of version 1")
    key = base64.b64decode(second, validate=True)
    require(len(key) == 32, f"{path} is damaged")
    return key


def read_recovery_key(text):
    """5.3: four lines of a recovery sheet."""
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    key = b""
    lines = text.split()
    require(len(lines) == 4, "a recovery key has four lines")
    for number, line in enumerate(lines, 1):
        characters = line.replace("-", "").upper().translate(str.maketrans("ILO", "110"))
        require(len(characters) == 16 and all(c in alphabet for c in characters), f"line {number}")
        value = 0
        for character in characters:
            value = value << 5 | alphabet.index(character)
        data = value.to_bytes(10, "big")
        require(binascii.crc_hqx(bytes([number]) + data[:8], 0xFFFF).to_bytes(2, "big") == data[8:], f"line {number}")
        key += data[:8]
    return key


def open_tenants(store, secrets):
    repository = parse_document(store.get("repository"), "repository", "repository")
    require(repository["writeVersion"] == 1, "the repository is newer than this reader")
    ids = sorted({name.split("/")[1] for name in store.list("tenants/") if ID.fullmatch(name.split("/")[1])})
    require(ids, "there is no tenant")
    return [Tenant(store, tenant, repository["repository"], secrets) for tenant in ids]


# ── 6 digests, 10 the map ───────────────────────────────────────────────────────────────────────────────────────────


def parse_map_part(data, level, number, what):
    """10.1: a list of (digest, None or (reference, offset, length)); a reference is (session, number, attempt)."""
    require(len(data) >= 16, f"{what} is too short")
    found_level, reserved1, references, entries, reserved2, found_number, reserved3 = struct.unpack_from("<BBHHHII", data)
    require(found_level == level and found_number == number, f"{what} is another one")
    require(reserved1 == reserved2 == reserved3 == 0, f"{what}: reserved bytes")
    require(references <= ENTRIES_MAX and entries <= ENTRIES_MAX, f"{what}: counts")
    entries_at = 16 + 28 * references
    require(len(data) == entries_at + 44 * entries, f"{what}: length")
    table = []
    for at in range(16, entries_at, 28):
        session, pack, attempt = struct.unpack_from("<16sI8s", data, at)
        table.append((session.hex(), pack, attempt.hex()))
    parsed = []
    for at in range(entries_at, len(data), 44):
        digest, index, state, reserved, offset, length = struct.unpack_from("<32sHBBII", data, at)
        require(reserved == 0, f"{what}: reserved bytes")
        if state == 0:
            require(digest == ZERO_DIGEST and index == offset == length == 0, f"{what}: a zero entry")
            parsed.append((digest, None))
        else:
            require(state == 1 and digest != ZERO_DIGEST and length > 0 and index < len(table), f"{what}: an entry")
            parsed.append((digest, (table[index], offset, length)))
    return parsed


class Point:
    def __init__(self, tenant, set_id, sequence, manifest, digest):
        self.tenant, self.set_id, self.sequence = tenant, set_id, sequence
        self.manifest, self.digest = manifest, digest
        self.chain = f"tenants/{tenant.id}/chains/{set_id}/{manifest['chain']}"


class DiskReader:
    """11, steps 9 to 15."""

    def __init__(self, point, index, check_digests):
        self.point, self.index, self.check_digests = point, index, check_digests
        tenant = point.tenant
        self.store, self.index_keys = tenant.store, tenant.index_keys
        first_index_key = tenant.index_keys[1]
        set_bytes = bytes.fromhex(point.set_id)
        self.block_key = derive(first_index_key, set_bytes, b"strata/v1/block-digest")
        self.tree_key = derive(first_index_key, set_bytes, b"strata/v1/tree-digest")
        self.open_root()
        self.blocks = -(-self.size // self.block_bytes)
        self.pages = -(-self.blocks // ENTRIES_MAX)
        require(len(self.nodes) == -(-self.pages // ENTRIES_MAX), "the root: number of nodes")

    def open_root(self):
        place = self.point.manifest["root"]
        require(place["length"] <= 56 + (16 << 20), "the root is too long")
        name = self.object_name("map", (place["session"], place["number"], place["attempt"]))
        context = f"{self.point.chain}/{place['session']}/root"
        box = self.store.get(name, place["offset"], place["length"])
        root = open_box(BOX_ROOT, context, box, self.index_keys)
        disks, reserved, keys = struct.unpack_from("<HHI", root)
        described = self.point.manifest["disks"]
        require(reserved == 0 and disks == len(described) and keys <= 1024, "the root's head")
        at = 8
        for index, description in enumerate(described):
            size, block_bytes, part, content_root = struct.unpack_from("<QII32s", root, at)
            at += 48
            require(at + part <= len(root), "the root's length")
            nodes = parse_map_part(root[at : at + part], 2, index, f"disk {index} of the root")
            at += part
            require(65536 <= block_bytes <= 4 << 20 and block_bytes & (block_bytes - 1) == 0, "the root: block size")
            require(size > 0 and -(-size // block_bytes) <= 2**26, "the root: size of a disk")
            expected = (description["sizeBytes"], description["blockBytes"], description["contentRoot"])
            require((size, block_bytes, content_root.hex()) == expected, "the root is not this manifest's")
            digests = b"".join(digest for digest, _ in nodes)
            head = struct.pack("<BQI", 2, size, block_bytes)
            require(blake3_keyed(self.tree_key, head + digests) == content_root, "the content root")
            if index == self.index:
                self.size, self.block_bytes, self.nodes = size, block_bytes, nodes
        require(len(root) == at + 96 * keys, "the root's length")
        self.data_keys = dict(self.point.tenant.open_data_key(root[i : i + 96]) for i in range(at, len(root), 96))

    def object_name(self, kind, reference):
        session, number, attempt = reference
        require(ID.fullmatch(session) and re.fullmatch("[0-9a-f]{16}", attempt) and number < 10**8, "a reference")
        return f"{self.point.chain}/{session}/{kind}-{number:08d}-{attempt}"

    def open_part(self, place, digest, kind, level, number, entries):
        """A node or a page: checked against the entry that names it."""
        reference, offset, length = place
        require(length <= 56 + 16 + 72 * ENTRIES_MAX, "a page is too long")
        name = {BOX_PAGE: "page", BOX_NODE: "node"}[kind]
        context = f"{self.point.chain}/disk/{self.index}/{name}/{number}"
        box = self.store.get(self.object_name("map", reference), offset, length)
        part = parse_map_part(open_box(kind, context, box, self.index_keys), level, number, context)
        require(len(part) == entries, f"{context}: number of entries")
        if self.check_digests:
            found = blake3_keyed(self.tree_key, bytes([level]) + b"".join(entry for entry, _ in part))
            require(found == digest, f"{context}: digest")
        return part

    def stored_blocks(self):
        """Number and bytes of every block that is not all zeros, in order."""
        for node_number, (node_digest, node_place) in enumerate(self.nodes):
            if node_place is None:
                continue
            pages = min(ENTRIES_MAX, self.pages - node_number * ENTRIES_MAX)
            node = self.open_part(node_place, node_digest, BOX_NODE, 1, node_number, pages)
            for page_index, (page_digest, page_place) in enumerate(node):
                if page_place is None:
                    continue
                page_number = node_number * ENTRIES_MAX + page_index
                blocks = min(ENTRIES_MAX, self.blocks - page_number * ENTRIES_MAX)
                page = self.open_part(page_place, page_digest, BOX_PAGE, 0, page_number, blocks)
                for block_index, (digest, place) in enumerate(page):
                    if place is not None:
                        number = page_number * ENTRIES_MAX + block_index
                        yield number, self.open_record(number, digest, place)

    def open_record(self, number, digest, place):
        """9.2; where that is no good, the record that stands for it (8.4)."""
        reference, offset, length = place
        name = self.object_name("data", reference)
        try:
            return self.open_record_at(number, digest, name, offset, length, self.data_keys)
        except Refused:
            records, keys = self.read_repairs()
            if (name, offset) not in records:
                raise
            return self.open_record_at(number, digest, *records[name, offset], {**keys, **self.data_keys})

    def read_repairs(self):
        """8.4: for places of records others with the same digest, and the keys that those are under."""
        chain = self.point.manifest["chain"]
        names = list(self.store.list(f"tenants/{self.point.tenant.id}/repairs/{chain}/"))
        if not names:
            return {}, {}
        name = names[-1]
        document = parse_document(open_box(BOX_REGISTRY, name, self.store.get(name), self.index_keys), name, "repairs")
        objects = [f"{self.point.chain}/{below}" for below in document["objects"]]
        records = {(objects[a], at): (objects[b], offset, length) for a, at, b, offset, length in document["records"]}
        return records, dict(self.point.tenant.open_data_key(bytes.fromhex(key)) for key in document["keys"])

    def open_record_at(self, number, digest, name, offset, length, data_keys):
        require(64 <= length <= 64 + (4 << 20), "a record's length")
        what = f"block {number} in {name} at {offset}"
        record = self.store.get(name, offset, length)
        version, codec, reserved, plain_bytes, key_id, nonce = struct.unpack_from("<BBHI16s24s", record)
        require(version == 1 and codec in (0, 1) and reserved == 0, f"{what}: head")
        require(plain_bytes == min(self.block_bytes, self.size - number * self.block_bytes), f"{what}: length")
        require(key_id in data_keys, f"{what}: unknown data key")
        aad = b"strata/record/v1" + record[:24] + digest
        block = xaes_open(data_keys[key_id], nonce, aad, record[48:], what)
        if codec == 1:
            block = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(block)).read(plain_bytes + 1)
        require(len(block) == plain_bytes, f"{what}: length after decompression")
        require(not self.check_digests or blake3_keyed(self.block_key, block) == digest, f"{what}: digest")
        return block

    def pieces(self):
        """The whole disk from its first byte to its last, in pieces."""
        zeros = bytes(1 << 20)
        at = 0
        for number, block in self.stored_blocks():
            start = number * self.block_bytes
            yield from zero_pieces(zeros, start - at)
            yield block
            at = start + len(block)
        yield from zero_pieces(zeros, self.size - at)


def zero_pieces(zeros, count):
    while count > 0:
        yield zeros[:count]
        count -= min(count, len(zeros))


# ── 11 reading ──────────────────────────────────────────────────────────────────────────────────────────────────────


def list_points(tenant):
    """All points, by set and sequence number, after checking that no set's history has a gap or a stranger in it."""
    points = []
    prefix = f"tenants/{tenant.id}/points/"
    previous = {}
    for name in tenant.store.list(prefix):
        match = re.fullmatch(r"([0-9a-f]{32})/((?!0{10})[0-9]{10})", name[len(prefix) :])
        if match is None:
            continue
        set_id, sequence = match[1], int(match[2])
        data = tenant.store.get(name)
        text = open_box(BOX_MANIFEST, name, data, tenant.index_keys)
        document = parse_document(text, name, "manifest", "void")
        require(document["sequence"] == sequence, f"{name} is moved")
        last_sequence, last_digest = previous.get(set_id, (0, None))
        require(sequence == last_sequence + 1, f"numbers are missing before {name}")
        require(document["previous"] == last_digest, f"the number before {name} was replaced")
        digest = hashlib.sha256(data).hexdigest()
        previous[set_id] = (sequence, digest)
        if document["strata"] == "void":
            continue
        require(tenant.set_id(document["setName"]) == set_id, f"{name} is moved")
        points.append(Point(tenant, set_id, sequence, document, digest))
    return points


def describe(point):
    members = ("point", "setName", "sequence", "kind", "chain", "createdAt")
    disks = [{"name": disk["name"], "sizeBytes": disk["sizeBytes"]} for disk in point.manifest["disks"]]
    return {"tenant": point.tenant.name, **{name: point.manifest[name] for name in members}, "disks": disks}


def sums_of(point, check_digests):
    described = describe(point)
    for index, disk in enumerate(described["disks"]):
        hasher = hashlib.sha256()
        for piece in DiskReader(point, index, check_digests).pieces():
            hasher.update(piece)
        disk["sha256"] = hasher.hexdigest()
    return described


def restore(point, disk_name, target, check_digests):
    names = [disk["name"] for disk in point.manifest["disks"]]
    require(disk_name in names, f"the point has the disks {', '.join(names)}")
    reader = DiskReader(point, names.index(disk_name), check_digests)
    with open(target, "xb") as file:
        for number, block in reader.stored_blocks():
            file.seek(number * reader.block_bytes)
            file.write(block)
        file.truncate(reader.size)


def main():
    parser = argparse.ArgumentParser(description="Reads a Strata store that is a directory.")
    parser.add_argument("store")
    parser.add_argument("--key-file")
    parser.add_argument("--skip-digests", action="store_true")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("points")
    restoring = commands.add_parser("restore")
    for argument in ("point", "disk", "target"):
        restoring.add_argument(argument)
    commands.add_parser("sums").add_argument("points", nargs="*")
    options = parser.parse_args()

    recovery_key = os.environ.get("STRATA_RECOVERY_KEY")
    secrets = {
        "key_file": read_key_file(options.key_file) if options.key_file else None,
        "recovery_key": read_recovery_key(recovery_key) if recovery_key else None,
        "passphrase": None if options.key_file else os.environ.get("STRATA_PASSPHRASE"),
    }
    check_digests = not options.skip_digests
    points = [point for tenant in open_tenants(Store(options.store), secrets) for point in list_points(tenant)]
    known = {point.manifest["point"]: point for point in points}
    if options.command == "points":
        print(json.dumps([describe(point) for point in points], indent=2))
    elif options.command == "sums":
        wanted = options.points or list(known)
        require(all(point in known for point in wanted), "there is no such point")
        print(json.dumps([sums_of(known[point], check_digests) for point in wanted], indent=2))
    else:
        require(options.point in known, f"there is no point {options.point}")
        restore(known[options.point], options.disk, options.target, check_digests)


if __name__ == "__main__":
    try:
        main()
    except Refused as refusal:
        sys.exit(f"refused: {refusal}")
