"""Find a country's code by its name in a registry's postal address. Pure.

ARIN's answers have no field for the country: it is the last line of the registrant's address ("United States"). The
names are those of `countries`, and variants that registries and their customers write.
"""

import re
import unicodedata

from banledger.geo.countries import NAMES

_ALIASES = """\
AE UAE
AG Antigua
AX Aland
BA Bosnia Herzegovina; Bosnia
BL St Barthelemy
BN Brunei Darussalam
BO Bolivia Plurinational State of; Plurinational State of Bolivia
BQ Bonaire Sint Eustatius and Saba; Bonaire Saint Eustatius and Saba; Bonaire
BR Brasil
CC Cocos Keeling Islands
CD Congo the Democratic Republic of the; Democratic Republic of the Congo; Congo Democratic Republic of the; Congo DR
CG Republic of the Congo; Congo Republic of the
CI Cote d Ivoire; Cote dIvoire
CN Peoples Republic of China; PR China; PRC
CV Cabo Verde
CZ Czech Republic
DE Deutschland
ES Espana
FK Falkland Islands Malvinas
FM Micronesia Federated States of; Federated States of Micronesia
FO Faeroe Islands
GB United Kingdom of Great Britain and Northern Ireland; Great Britain; UK; England; Scotland; Wales; Northern Ireland
GF French Guyana
GS South Georgia and the South Sandwich Islands
HK Hong Kong SAR; Hong Kong SAR China; Hong Kong China; Hongkong
HM Heard Island and McDonald Islands
IR Iran Islamic Republic of; Islamic Republic of Iran
IT Italia
KN St Kitts and Nevis
KP Korea Democratic Peoples Republic of; Democratic Peoples Republic of Korea
KR Korea Republic of; Republic of Korea; Korea
LA Lao Peoples Democratic Republic; Lao PDR
LC St Lucia
LY Libyan Arab Jamahiriya
MD Moldova Republic of; Republic of Moldova
MF Saint Martin French part; St Martin
MK Macedonia; Macedonia the Former Yugoslav Republic of; Republic of North Macedonia
MM Burma
MO Macau; Macao SAR; Macao SAR China
NL Holland
PL Polska
PM St Pierre and Miquelon
PN Pitcairn Islands
PS Palestinian Territory Occupied; Palestinian Territory
PS Palestine State of; State of Palestine; Palestinian Territories
RE Reunion Island
RU Russian Federation
SH Saint Helena Ascension and Tristan da Cunha; St Helena
SJ Svalbard
ST Sao Tome
SX Sint Maarten Dutch part; St Maarten
SY Syrian Arab Republic
SZ Swaziland
TF French Southern and Antarctic Lands
TL East Timor
TR Turkiye; Republic of Turkiye
TW Taiwan Province of China; Taiwan ROC; Republic of China
TZ Tanzania United Republic of; United Republic of Tanzania
UM United States Minor Outlying Islands
US United States of America; USA; US of America
VA Holy See; Vatican City; Holy See Vatican City State; Vatican City State
VC St Vincent and the Grenadines
VE Venezuela Bolivarian Republic of; Bolivarian Republic of Venezuela
VG Virgin Islands British
VI Virgin Islands US; United States Virgin Islands
VN Viet Nam
XK Republic of Kosovo
"""

_NAME_MOST = 64


def code_of(name: str) -> str | None:
    """The ISO 3166-1 alpha-2 code of a country's name, however it is capitalised, accented or punctuated."""
    return _CODES.get(_plain(name[:_NAME_MOST]))


def _plain(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name).replace("&", " and ")
    kept = "".join(char for char in letters if not unicodedata.combining(char)).casefold()
    words = re.findall("[a-z]+", kept.replace("'", "").replace("’", "").replace(".", ""))
    return " ".join(words[1:] if words[:1] == ["the"] else words)


_CODES = {_plain(name): code for code, name in NAMES.items() if code != "XX"}
_CODES |= {_plain(name): line[:2] for line in _ALIASES.splitlines() for name in line[3:].split("; ")}
