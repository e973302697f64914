"""Codes of countries by their names in registries' postal addresses. Pure.

ARIN's answers have no field for the country: it is the last line of the registrant's address ("United States"). The
names are those of ISO 3166-1, in plain letters, and what registries and their customers write instead.
"""

import re
import unicodedata

_NAMES = """\
AD Andorra
AE United Arab Emirates; UAE
AF Afghanistan
AG Antigua and Barbuda; Antigua
AI Anguilla
AL Albania
AM Armenia
AO Angola
AQ Antarctica
AR Argentina
AS American Samoa
AT Austria
AU Australia
AW Aruba
AX Aland Islands; Aland
AZ Azerbaijan
BA Bosnia and Herzegovina; Bosnia Herzegovina; Bosnia
BB Barbados
BD Bangladesh
BE Belgium
BF Burkina Faso
BG Bulgaria
BH Bahrain
BI Burundi
BJ Benin
BL Saint Barthelemy; St Barthelemy
BM Bermuda
BN Brunei; Brunei Darussalam
BO Bolivia; Bolivia Plurinational State of; Plurinational State of Bolivia
BQ Caribbean Netherlands; Bonaire Sint Eustatius and Saba; Bonaire Saint Eustatius and Saba; Bonaire
BR Brazil; Brasil
BS Bahamas; The Bahamas
BT Bhutan
BV Bouvet Island
BW Botswana
BY Belarus
BZ Belize
CA Canada
CC Cocos Islands; Cocos Keeling Islands
CD DR Congo; Congo the Democratic Republic of the; Democratic Republic of the Congo
CD Congo Democratic Republic of the; Congo DR
CF Central African Republic
CG Congo; Republic of the Congo; Congo Republic of the
CH Switzerland
CI Ivory Coast; Cote d Ivoire; Cote dIvoire
CK Cook Islands
CL Chile
CM Cameroon
CN China; Peoples Republic of China; PR China; PRC
CO Colombia
CR Costa Rica
CU Cuba
CV Cape Verde; Cabo Verde
CW Curacao
CX Christmas Island
CY Cyprus
CZ Czechia; Czech Republic
DE Germany; Deutschland
DJ Djibouti
DK Denmark
DM Dominica
DO Dominican Republic
DZ Algeria
EC Ecuador
EE Estonia
EG Egypt
EH Western Sahara
ER Eritrea
ES Spain; Espana
ET Ethiopia
EU European Union
FI Finland
FJ Fiji
FK Falkland Islands; Falkland Islands Malvinas
FM Micronesia; Micronesia Federated States of; Federated States of Micronesia
FO Faroe Islands; Faeroe Islands
FR France
GA Gabon
GB United Kingdom; United Kingdom of Great Britain and Northern Ireland; Great Britain; UK; England
GB Scotland; Wales; Northern Ireland
GD Grenada
GE Georgia
GF French Guiana; French Guyana
GG Guernsey
GH Ghana
GI Gibraltar
GL Greenland
GM Gambia; The Gambia
GN Guinea
GP Guadeloupe
GQ Equatorial Guinea
GR Greece
GS South Georgia; South Georgia and the South Sandwich Islands
GT Guatemala
GU Guam
GW Guinea-Bissau; Guinea Bissau
GY Guyana
HK Hong Kong; Hong Kong SAR; Hong Kong SAR China; Hong Kong China; Hongkong
HM Heard and McDonald Islands; Heard Island and McDonald Islands
HN Honduras
HR Croatia
HT Haiti
HU Hungary
ID Indonesia
IE Ireland
IL Israel
IM Isle of Man
IN India
IO British Indian Ocean Territory
IQ Iraq
IR Iran; Iran Islamic Republic of; Islamic Republic of Iran
IS Iceland
IT Italy; Italia
JE Jersey
JM Jamaica
JO Jordan
JP Japan
KE Kenya
KG Kyrgyzstan
KH Cambodia
KI Kiribati
KM Comoros
KN Saint Kitts and Nevis; St Kitts and Nevis
KP North Korea; Korea Democratic Peoples Republic of; Democratic Peoples Republic of Korea
KR South Korea; Korea Republic of; Republic of Korea; Korea
KW Kuwait
KY Cayman Islands
KZ Kazakhstan
LA Laos; Lao Peoples Democratic Republic; Lao PDR
LB Lebanon
LC Saint Lucia; St Lucia
LI Liechtenstein
LK Sri Lanka
LR Liberia
LS Lesotho
LT Lithuania
LU Luxembourg
LV Latvia
LY Libya; Libyan Arab Jamahiriya
MA Morocco
MC Monaco
MD Moldova; Moldova Republic of; Republic of Moldova
ME Montenegro
MF Saint Martin; Saint Martin French part; St Martin
MG Madagascar
MH Marshall Islands
MK North Macedonia; Macedonia; Macedonia the Former Yugoslav Republic of; Republic of North Macedonia
ML Mali
MM Myanmar; Burma
MN Mongolia
MO Macao; Macau; Macao SAR; Macao SAR China
MP Northern Mariana Islands
MQ Martinique
MR Mauritania
MS Montserrat
MT Malta
MU Mauritius
MV Maldives
MW Malawi
MX Mexico; Mexico
MY Malaysia
MZ Mozambique
NA Namibia
NC New Caledonia
NE Niger
NF Norfolk Island
NG Nigeria
NI Nicaragua
NL Netherlands; The Netherlands; Holland
NO Norway
NP Nepal
NR Nauru
NU Niue
NZ New Zealand
OM Oman
PA Panama
PE Peru
PF French Polynesia
PG Papua New Guinea
PH Philippines
PK Pakistan
PL Poland; Polska
PM Saint Pierre and Miquelon; St Pierre and Miquelon
PN Pitcairn; Pitcairn Islands
PR Puerto Rico
PS Palestine; Palestinian Territory Occupied; Palestinian Territory; Palestine State of; State of Palestine
PS Palestinian Territories
PT Portugal
PW Palau
PY Paraguay
QA Qatar
RE Reunion; Reunion Island
RO Romania
RS Serbia
RU Russia; Russian Federation
RW Rwanda
SA Saudi Arabia
SB Solomon Islands
SC Seychelles
SD Sudan
SE Sweden
SG Singapore
SH Saint Helena; Saint Helena Ascension and Tristan da Cunha; St Helena
SI Slovenia
SJ Svalbard and Jan Mayen; Svalbard
SK Slovakia
SL Sierra Leone
SM San Marino
SN Senegal
SO Somalia
SR Suriname
SS South Sudan
ST Sao Tome and Principe; Sao Tome
SV El Salvador
SX Sint Maarten; Sint Maarten Dutch part; St Maarten
SY Syria; Syrian Arab Republic
SZ Eswatini; Swaziland
TC Turks and Caicos Islands
TD Chad
TF French Southern Territories; French Southern Territories; French Southern and Antarctic Lands
TG Togo
TH Thailand
TJ Tajikistan
TK Tokelau
TL Timor-Leste; East Timor; Timor Leste
TM Turkmenistan
TN Tunisia
TO Tonga
TR Turkey; Turkiye; Republic of Turkiye
TT Trinidad and Tobago
TV Tuvalu
TW Taiwan; Taiwan Province of China; Taiwan ROC; Republic of China
TZ Tanzania; Tanzania United Republic of; United Republic of Tanzania
UA Ukraine
UG Uganda
UM US Outlying Islands; United States Minor Outlying Islands
US United States; United States of America; USA; US of America
UY Uruguay
UZ Uzbekistan
VA Vatican; Holy See; Vatican City; Holy See Vatican City State; Vatican City State
VC Saint Vincent and the Grenadines; St Vincent and the Grenadines
VE Venezuela; Venezuela Bolivarian Republic of; Bolivarian Republic of Venezuela
VG British Virgin Islands; Virgin Islands British
VI US Virgin Islands; Virgin Islands US; United States Virgin Islands
VN Vietnam; Viet Nam
VU Vanuatu
WF Wallis and Futuna
WS Samoa
XK Kosovo; Republic of Kosovo
YE Yemen
YT Mayotte
ZA South Africa
ZM Zambia
ZW Zimbabwe
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


_CODES = {_plain(name): line[:2] for line in _NAMES.splitlines() for name in line[3:].split("; ")}
