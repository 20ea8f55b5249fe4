# What is linked into the binary, of `cargo metadata` on standard input: dependencies.py SBOM LICENCES
# SBOM: CycloneDX 1.5 in JSON. LICENCES: each licence text that the sources have, once, with the names of what is under it.
# Neither has a time in it: the same lock file gives the same bytes.
import json
import pathlib
import sys
import tomllib
import uuid

ROOT = "streamgauge"
# Where crates keep the licences of the C sources that they bring.
DEPTH = 3
NAMES = ("license", "licence", "copying", "notice", "copyright")
ELSEWHERE = ("test", "example", "doc", "bench", "fuzz", "demo", "contrib")


def linked(metadata):
    """The packages in the binary: what it depends on to run, and crates of C sources, which are built for their crate."""
    packages = {one["id"]: one for one in metadata["packages"]}
    nodes = {one["id"]: one for one in metadata["resolve"]["nodes"]}
    root = next(one for one in packages.values() if one["name"] == ROOT)
    edges, todo = {}, [root["id"]]
    while todo:
        at = todo.pop()
        if at in edges:
            continue
        edges[at] = []
        for dependency in nodes[at]["deps"]:
            kinds = {kind["kind"] for kind in dependency["dep_kinds"]}
            sources = packages[dependency["pkg"]]["name"].endswith("-src")
            if None in kinds or (sources and "build" in kinds):
                edges[at].append(dependency["pkg"])
                todo.append(dependency["pkg"])
    kept = {at for at in edges if not is_macro(packages[at])}
    return root, {at: packages[at] for at in kept}, {at: [to for to in edges[at] if to in kept] for at in kept}


def is_macro(package):
    return any("proc-macro" in target["kind"] for target in package["targets"])


def expression(package):
    return (package["license"] or "").replace("/", " OR ") or None


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, checksums, kind="library"):
    named = {"name": package["name"], "version": package["version"]}
    one = {"type": kind, "bom-ref": purl(package), **named, "purl": purl(package)}
    if package["description"]:
        one["description"] = " ".join(package["description"].split())
    if expression(package):
        one["licenses"] = [{"expression": expression(package)}]
    if checksum := checksums.get((package["name"], package["version"])):
        one["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return one


def sbom(root, packages, edges, checksums):
    ordered = sorted(packages.values(), key=purl)
    body = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(root, checksums, "application")},
        "components": [component(one, checksums) for one in ordered if one is not root],
        "dependencies": [
            {"ref": purl(one), "dependsOn": sorted(purl(packages[to]) for to in edges[one["id"]])} for one in ordered
        ],
    }
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(body, sort_keys=True))
    return {"$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json", "serialNumber": f"urn:uuid:{number}", **body}


def texts(package):
    folder = pathlib.Path(package["manifest_path"]).parent
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        elsewhere = any(part.lower().startswith(ELSEWHERE) for part in inside[:-1])
        is_code = path.suffix in (".rs", ".c", ".h", ".html")
        if len(inside) <= DEPTH and not elsewhere and not is_code and path.name.lower().startswith(NAMES) and path.is_file():
            yield "/".join(inside), path.read_text(errors="replace").strip() + "\n"


def licences(root, packages):
    under, bare = {}, []
    for package in sorted((one for one in packages.values() if one["source"]), key=purl):
        name = f"{package['name']} {package['version']} ({expression(package)})"
        found = list(texts(package))
        if not found:
            bare.append(name)
        for path, text in found:
            under.setdefault(text, []).append(f"{name}: {path}")
    lines = [f"What {root['name']} {root['version']} is made of, and under which licences.", ""]
    if bare:
        lines += ["These say their licence in their manifest, and have no text of it:", ""] + [f"  {name}" for name in bare] + [""]
    for text, names in under.items():
        lines += ["-" * 100, *names, "-" * 100, "", text]
    return "\n".join(lines)


metadata = json.load(sys.stdin)
lock = tomllib.loads((pathlib.Path(metadata["workspace_root"]) / "Cargo.lock").read_text())
checksums = {(one["name"], one["version"]): one["checksum"] for one in lock["package"] if "checksum" in one}
root, packages, edges = linked(metadata)
pathlib.Path(sys.argv[1]).write_text(json.dumps(sbom(root, packages, edges, checksums), indent=1) + "\n")
pathlib.Path(sys.argv[2]).write_text(licences(root, packages))
