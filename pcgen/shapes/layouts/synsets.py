"""Names of the 55 synsets of ShapeNetCore, for copies without taxonomy.json."""

from __future__ import annotations

from pcgen.errors import InputError, MeshError
from pcgen.files import parse_json
from pcgen.shapes.formats.raw import to_utf8
from pcgen.shapes.listing import Listing, read_entry

OFFSETS = "synsetoffset2category.txt"  # ShapeNetPart's names of synsets
_TAXONOMY_LIMIT = 64 * 2**20

# WordNet offsets; the first name is the category, the others are synonyms.
_CORE = """\
02691156 airplane,aeroplane,plane
02747177 ashcan,trash can,garbage can,trash bin
02773838 bag
02801938 basket
02808440 bathtub,bath
02818832 bed
02828884 bench
02843684 birdhouse
02871439 bookshelf
02876657 bottle
02880940 bowl
02924116 bus,autobus,coach
02933112 cabinet
02942699 camera
02946921 can,tin can
02954340 cap
02958343 car,auto,automobile
02992529 cellular telephone,cellphone,mobile phone
03001627 chair
03046257 clock
03085013 computer keyboard,keyboard
03207941 dishwasher
03211117 display,monitor
03261776 earphone,headphone
03325088 faucet,tap
03337140 file,file cabinet
03467517 guitar
03513137 helmet
03593526 jar
03624134 knife
03636649 lamp
03642806 laptop
03691459 loudspeaker,speaker
03710193 mailbox
03759954 microphone
03761084 microwave
03790512 motorcycle,motorbike
03797390 mug
03928116 piano
03938244 pillow
03948459 pistol
03991062 pot,flowerpot
04004475 printer
04074963 remote control,remote
04090263 rifle
04099429 rocket
04225987 skateboard
04256520 sofa,couch
04330267 stove
04379243 table
04401088 telephone
04460130 tower
04468005 train
04530566 vessel,watercraft
04554684 washer,washing machine
"""

CORE_NAMES = {line[:8]: tuple(line[9:].split(",")) for line in _CORE.splitlines()}


def synset_names(listing: Listing) -> dict[str, tuple[str, ...]]:
    """Names of each synset, from a table of the source, else those of ShapeNetCore."""
    names = dict(CORE_NAMES)
    for entry in listing.entries:
        if entry.path.rsplit("/", 1)[-1] not in ("taxonomy.json", OFFSETS):
            continue
        try:
            data = read_entry(entry, _TAXONOMY_LIMIT)
            if entry.suffix == ".txt":
                text = to_utf8(data).decode("utf-8", "replace")
                rows = (line.split("\t") for line in text.splitlines())
                names.update((r[1].strip(), (r[0].strip(), r[0].strip().lower()))
                             for r in rows if len(r) > 1 and r[1].strip())  # fmt: skip
                continue
            for synset in parse_json(data):
                words = [word.strip() for word in str(synset["name"]).split(",")]
                names[str(synset["synsetId"])] = tuple(word for word in words if word)
        except (ValueError, KeyError, TypeError, InputError, MeshError, RecursionError):
            continue  # a taxonomy that cannot be read costs names, not shapes
    return {synset: words for synset, words in names.items() if words}


def category_of(synset: str, names: dict[str, tuple[str, ...]]) -> str:
    """The name of a synset; unknown names stay as they are."""
    return names.get(synset, (synset,))[0]


def aliases_of(synsets: set[str], names: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Synset numbers and synonyms of the present categories."""
    found: dict[str, str] = {}
    for synset in sorted(synsets):
        for word in (synset, *names.get(synset, ())):
            found.setdefault(word, category_of(synset, names))
    return found
