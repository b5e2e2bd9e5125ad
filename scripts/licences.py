"""Prints the licences of the libraries that the program is compiled with, each text once:
`licences.py TARGET`, where they have been fetched already."""

import json
import pathlib
import subprocess
import sys

NAMES = ("licen", "copying", "notice", "unlicense")


def libraries(target):
    """The packages that end up in the program, in their order."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--offline",
               "--filter-platform", target]
    world = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in world["packages"]}
    edges = {node["id"]: node["deps"] for node in world["resolve"]["nodes"]}
    wanted = [id for id, package in packages.items() if package["name"] == "puerto"]
    seen = set()
    while wanted:
        one = wanted.pop()
        if one not in seen:
            seen.add(one)
            wanted += [dep["pkg"] for dep in edges[one]
                       if any(kind["kind"] is None for kind in dep["dep_kinds"])]
    outside = [packages[id] for id in seen if packages[id]["source"]]
    return sorted(outside, key=lambda package: (package["name"], package["version"]))


def main(target):
    texts = {}
    for package in libraries(target):
        folder = pathlib.Path(package["manifest_path"]).parent
        print(f"{package['name']} {package['version']}: {package['license'] or 'see its text'}")
        for author in package["authors"]:
            print(f"    {author}")
        for file in sorted(folder.iterdir()):
            if file.is_file() and file.name.lower().startswith(NAMES):
                text = file.read_text(errors="replace").strip()
                texts.setdefault(text, []).append(f"{package['name']} {package['version']}")
    for text, names in texts.items():
        print(f"\n{'=' * 72}\n{', '.join(names)}\n{'=' * 72}\n\n{text}")


if __name__ == "__main__":
    main(sys.argv[1])
