# Of the Kubernetes objects on standard input those whose kinds Kubernetes itself defines.
import sys

import yaml

OPERATORS = ("monitoring.coreos.com/", "keda.sh/")
objects = [one for one in yaml.safe_load_all(sys.stdin) if one]
yaml.safe_dump_all([one for one in objects if not one["apiVersion"].startswith(OPERATORS)], sys.stdout)
