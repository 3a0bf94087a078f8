import requests

from src.constants import FILES, NEEDS


def requirements(repo, commit):
    for name in NEEDS[repo]:
        answer = requests.get(f"{FILES}{repo}/{commit}/{name}", headers={"User-Agent": "fake"})
        if answer.status_code == 200:
            break
    else:
        raise ValueError(f"no requirements of {repo} at {commit}")
    lines = []
    for line in answer.text.splitlines():
        if line.startswith("-r "):
            more = requests.get(f"{FILES}{repo}/{commit}/{line[3:]}")
            if more.status_code == 200:
                lines += more.text.splitlines()
        else:
            lines.append(line)
    return lines
