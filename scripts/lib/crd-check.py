# Holds the objects of operators to their own schemas: crd-check.py CRD... <OBJECTS. Unknown keys are errors.
import pathlib
import sys

import jsonschema
import yaml


# PyYAML takes a plain "=", which a CRD has in a list, for a key of its own.
yaml.SafeLoader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: node.value)


def closed(schema):
    """The schema, with no keys but those that it names, as the API server prunes others."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: closed(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        out.pop("type", None)
        out["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if isinstance(schema.get("properties"), dict) and "type" in schema:
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            out.setdefault("additionalProperties", False)
    return out


def schemas(paths):
    found = {}
    for path in paths:
        crd = yaml.safe_load(pathlib.Path(path).read_text())
        spec = crd["spec"]
        for version in spec["versions"]:
            schema = closed(version["schema"]["openAPIV3Schema"])
            # What every object has is no part of a CRD's schema.
            schema["properties"].update(apiVersion={}, kind={}, metadata={"type": "object"})
            found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return found


known = schemas(sys.argv[1:])
wrong = checked = 0
for one in filter(None, yaml.safe_load_all(sys.stdin)):
    group = one["apiVersion"].split("/")[0]
    if not any(of.startswith(group + "/") for of, _ in known):
        continue                                 # Kubernetes' own
    schema = known.get((one["apiVersion"], one["kind"]))
    if schema is None:
        print(f"{one['kind']}: {one['apiVersion']} has no such kind", file=sys.stderr)
        wrong += 1
        continue
    checked += 1
    for error in jsonschema.Draft7Validator(schema).iter_errors(one):
        at = ".".join(map(str, error.absolute_path))
        print(f"{one['kind']} {one['metadata']['name']}: {at}: {error.message[:300]}", file=sys.stderr)
        wrong += 1
print(f"{checked} objects of operators")
sys.exit(bool(wrong))
