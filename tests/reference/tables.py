"""What a table says, read line by line with the csv module alone."""

import csv


def items_of_table(path, encoding, separator):
    """(id, modality, label, pair, transcript) of each item, for plain names and fields without blanks around."""
    with path.open(encoding=encoding, newline="") as file:
        rows = list(csv.DictReader(file, delimiter=separator))
    images, sounds, edges = [], [], []
    for row in rows:
        if row["image"] and row["image"] not in images:
            images.append(row["image"])
        if row["sound"] and row["sound"] not in sounds:
            sounds.append(row["sound"])
        if row["image"] and row["sound"]:
            edges.append((row["image"], row["sound"]))
    pair = {}
    for image in images:
        if image in pair or not any(image == one for one, _ in edges):
            continue
        reached = {image}
        while True:
            more = {x for edge in edges if reached & set(edge) for x in edge}
            if more <= reached:
                break
            reached |= more
        for name in reached:
            pair[name] = image
    label = dict.fromkeys((*images, *sounds), "")
    for row in rows:
        for column in ("image", "sound"):
            if row[column] and row["label"]:
                label[row[column]] = row["label"]
    said = {row["sound"]: row["transcript"] for row in rows if row["sound"] and row["transcript"]}
    return [(name, "image", label[name] or None, pair.get(name), None) for name in images] + [
        (name, "sound", label[name] or None, pair.get(name), said.get(name)) for name in sounds
    ]
