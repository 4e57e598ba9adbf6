"""Words that titles are made from: by them a person can tell a movie's genre."""

# Genre -> what its titles begin with, and what they are about.
GENRES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "space": (
        ("Galactic", "Orbital", "Lunar", "Stellar", "Martian", "Cosmic", "Interstellar", "Solar"),
        ("Voyage", "Station", "Armada", "Colony", "Eclipse", "Comet", "Signal", "Odyssey", "Asteroid"),
    ),
    "western": (
        ("Dusty", "Lonesome", "Prairie", "Outlaw", "Frontier", "Desert", "Rattlesnake", "Gunsmoke"),
        ("Saddle", "Sheriff", "Stampede", "Showdown", "Canyon", "Ranch", "Rider", "Saloon", "Posse"),
    ),
    "romance": (
        ("Tender", "Secret", "Endless", "Moonlit", "Parisian", "Stolen", "First", "Summer"),
        (
            "Kiss",
            "Sweetheart",
            "Wedding",
            "Embrace",
            "Valentine",
            "Promise",
            "Romance",
            "Bouquet",
            "Serenade",
        ),
    ),
    "horror": (
        ("Haunted", "Bloody", "Cursed", "Screaming", "Midnight", "Undead", "Grim", "Rotting"),
        ("Crypt", "Cellar", "Nightmare", "Vampire", "Coffin", "Asylum", "Ghoul", "Exorcism", "Graveyard"),
    ),
    "comedy": (
        ("Goofy", "Clumsy", "Awkward", "Hilarious", "Silly", "Runaway", "Accidental", "Bumbling"),
        ("Roommates", "Vacation", "Prank", "In-Laws", "Butler", "Mix-Up", "Babysitter", "Reunion", "Clown"),
    ),
    "crime": (
        ("Crooked", "Cold", "Deadly", "Undercover", "Hardboiled", "Guilty", "Ruthless", "Smoking"),
        ("Detective", "Heist", "Alibi", "Mobster", "Verdict", "Witness", "Ransom", "Informer", "Getaway"),
    ),
    "war": (
        ("Fallen", "Iron", "Last", "Burning", "Brave", "Forgotten", "Silent", "Muddy"),
        ("Battalion", "Trench", "Regiment", "Bunker", "Platoon", "Submarine", "Armistice", "Convoy", "Siege"),
    ),
    "family": (
        ("Little", "Magic", "Fuzzy", "Cuddly", "Enchanted", "Playful", "Tiny", "Merry"),
        ("Puppy", "Penguin", "Teddy", "Kitten", "Pony", "Dragonling", "Toyshop", "Treehouse", "Elf"),
    ),
    "documentary": (
        ("Inside", "Vanishing", "Hidden", "Wild", "Ancient", "Living", "Modern", "Rare"),
        (
            "Glaciers",
            "Archive",
            "Rainforest",
            "Pyramids",
            "Reef",
            "Economy",
            "Orchestra",
            "Migration",
            "Fossils",
        ),
    ),
    "musical": (
        ("Dancing", "Singing", "Broadway", "Tapping", "Swinging", "Golden", "Jazzy", "Velvet"),
        ("Chorus", "Melody", "Ballroom", "Trumpet", "Cabaret", "Rhapsody", "Encore", "Footlights", "Duet"),
    ),
}
GENRE_NAMES = tuple(GENRES)


def genre_of(title: str) -> str:
    """The genre whose words a generated title is made of; "" if it is none of ours."""
    words = title.replace(",", "").split()
    for genre, (_, subjects) in GENRES.items():
        if any(word in subjects for word in words):
            return genre
    return ""
