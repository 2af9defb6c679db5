"""The texts of the parity fixtures: short and nasty ones first, a few longer than any model last.

All written for this purpose. Invisible characters are escaped.
"""

# What the tiny tokenizers are trained on besides the texts, so that their
# vocabularies hold whole words and pieces of words alike.
PROSE = """
The committee met in Geneva on Monday to discuss the future of the harbour, and nobody left early.
Maria Gonzales works for Brightwater Bank in London; her brother John runs a small bakery in Leeds.
Our engineers found the broken sensor, replaced it, and started the machine again before breakfast.
When the river rises, the farmers of the valley move their sheep to the higher meadows.
Please send the invoice to the office in Berlin and a copy to Mr. Andersson of Norvik Lines.
A new version of the parser was released; it reads larger files and uses less memory than before.
The match between Harwick and Eastmere ended in a draw after the keeper had saved two penalties.
She wrote to the minister, to the newspaper and to the company, but received no answer at all.
Free tickets for the first hundred visitors! Call the number below or register on our website.
Customers who don't want to receive this newsletter any longer may unsubscribe at any time.
The price of coffee rose by twelve per cent in March, while the price of tea remained unchanged.
Running, jumping and swimming are taught in the morning; singing, painting and reading afterwards.
Doctor Okafor said that the treatment was working and that the patient would be walking again soon.
The President of the Republic of Slovenia visited the University of Ljubljana and the Museum of Comics.
If the password is wrong three times, the account is locked and the administrator is informed.
Unbelievable scenes in Paris, Rome, Tokyo and New York: people were dancing in the streets all night.
"""

WORDS = [
    "", " ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u200b", "\ufeff", ".", "...", "?!", "-", "\u2014", "'", "\"\"",
    "(", "()", "##", "####", "# #", "@", "$", "\u20ac", "\u2026", "\\", "/", "_", "__", "*", "~", "`", "a", "A", "z", "0", "7",
    "42", "!", "!!!!!!!!!!!!", "......................", ", , ,", " . ", "\u00bf", "\u3002", "\u00ad", "\u0301", "\u200d", "\u200e", "\u0000", "\ufffd",
]

PLAIN = [
    "hello world", "Hello, World!", "The quick brown fox jumps over the lazy dog.", "Maria Gonzales works for Brightwater Bank in London.",
    "John lives in New York", "new york", "NEW YORK", "Mr. Andersson of Norvik Lines flew from Berlin to Rome.", "The President of the Republic of Slovenia",
    "nobody left early", "Doctor Okafor said so.", "unbelievable", "Unbelievable!", "running jumping swimming", "Please unsubscribe me",
    "It was a long, cold night in Tokyo, and Maria wanted to go home.", "one two three four five six seven eight nine ten",
    "no", "No.", "yes yes yes", "I", "I am", "A B C D E", "a b c d e f g", "the the the the", "bank bank Bank BANK", "Leeds, Leeds; Leeds: Leeds.",
    "Brightwater  Bank", "Brightwater   Bank", " leading space", "trailing space ", "  both  ", "in\nLondon", "in\r\nLondon\r\n", "in\rLondon", "one\ttwo\tthree",
    "line one\nline two\n\nline four", "a\u00a0b", "New\u00a0York", "thin\u2009space", "ideographic\u3000space", "em\u2003space", "line\u2028separator", "para\u2029separator",
    "vertical\x0btab", "form\x0cfeed", "next\u0085line", "ogham\u1680space", "narrow\u202fspace",
]

ACCENTS = [
    "caf\u00e9", "cafe\u0301", "na\u00efve", "nai\u0308ve", "r\u00e9sum\u00e9 and re\u0301sume\u0301", "\u00c5ngstr\u00f6m", "A\u030angstro\u0308m", "\u212bngstrom", "S\u00e3o Paulo", "Sa\u0303o Paulo",
    "\u00c9COLE", "E\u0301COLE", "Z\u00fcrich", "Zu\u0308rich", "stra\u00dfe", "STRASSE", "STRA\u1e9eE", "\u0130stanbul", "I\u0307stanbul", "\u0131l\u0131k", "\u00d8resund", "\u0141\u00f3d\u017a", "\u0110or\u0111e",
    "Dvo\u0159\u00e1k", "Dvor\u030ca\u0301k", "\u1ec7", "e\u0302\u0323", "e\u0323\u0302", "Vi\u1ec7t Nam", "Vie\u0323\u0302t Nam", "z\u0351\u0343\u036b\u0341\u033dalgo\u0321\u0316", "a\u0300\u0301\u0302\u0303\u0304b", "\u00e6ther \u0153uvre",
    "\u00bd cup", "x\u00b2 + y\u00b2", "H\u2082O", "\u2167 \u2168", "\u03a9 \u2126", "\u00b5 \u03bc", "K\u212a", "\u01c5ungla", "\u0149 test", "\u1e9b\u0323", "\u0345",
    "Gonza\u0301les", "Mari\u0301a Gonza\u0301lez", "Mar\u00eda Gonz\u00e1lez", "John\u0301 lives", "\u0301John", "Jo\u0308hn of Le\u0301eds",
]

SYMBOLS = [
    "\U0001f600", "\U0001f600\U0001f600\U0001f600", "hi \U0001f600", "hi\U0001f600there", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "a \U0001f468\u200d\U0001f4bb codes", "\U0001f44d\U0001f3fd good",
    "\U0001f1e9\U0001f1ea", "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7 and \U0001f1ef\U0001f1f5", "\u2764\ufe0f", "I \u2764\ufe0f London", "1\ufe0f\u20e3", "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "\u2603 snow", "\u2713 done",
    "\u2122 \u00ae \u00a9", "Brightwater\u2122 Bank\u00ae", "\u2192 \u21d2 \u2260 \u2264", "\u2211 x\u1d62", "\u00a320 \u20ac30 $40 \u00a550", "100%", "\u201cquoted\u201d and \u2018single\u2019", "\u00abguillemets\u00bb", "\u2013 en \u2014 em \u2015",
    "\u2022 bullet", "\u00a7 12", "\u2116 5", "\U0001d54f\U0001d556\U0001d55f", "\U0001d5db\U0001d5f2\U0001d5f9\U0001d5f9\U0001d5fc", "\uff28\uff25\uff2c\uff2c\uff2f", "\uff11\uff12\uff13", "\ufb01ne \ufb02ow o\ufb03ce", "\ufb06op", "\u24bd\u24d4\u24db\u24db\u24de",
    "\U00010348\U00010330", "\U0001f9d1\U0001f3ff\u200d\U0001f680", "\ue000 private", "\ufffe", "\U0010ffff end", "\u0378 unassigned", "\u2066isolated\u2069", "soft\u00adhyphen", "zero\u200bwidth", "zero\u200cnon\u200djoiner", "word\u2060joiner", "\ufeffbom first", "mid\ufeffbom",
]

SCRIPTS = [
    "\u4f60\u597d", "\u4f60\u597d\uff0c\u4e16\u754c\uff01", "\u6771\u4eac\u90fd", "Tokyo \u6771\u4eac Tokyo", "Tokyo\u6771\u4eacTokyo", "\u65e5\u672c\u8a9e\u306e\u30c6\u30b9\u30c8", "\u3072\u3089\u304c\u306a", "\u30ab\u30bf\u30ab\u30ca", "\uff76\uff9e\uff77\uff9e", "\u304b\u3099", "\u304c",
    "\u5317\u4eac\u548c\u4e0a\u6d77 are cities", "\u6211\u7231London", "\U00020000\U00020001", "\uf900 \u8c48", "\u3400\u4db5", "\ud55c\uad6d\uc5b4", "\u1112\u1161\u11ab\u1100\u116e\u11a8", "\uc11c\uc6b8\uc740 \ud070 \ub3c4\uc2dc\ub2e4", "Seoul\uc11c\uc6b8", "\uac00\u11a8",
    "\u0645\u0631\u062d\u0628\u0627", "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645", "\u0645\u064e\u0631\u0652\u062d\u064e\u0628\u064b\u0627", "hello \u0645\u0631\u062d\u0628\u0627 world", "\u0661\u0662\u0663", "\u0634\u0644\u0648\u0645", "\u05e9\u05dc\u05d5\u05dd", "\u05e9\u05bc\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd", "\u05e9\u05dc\u05d5\u05dd, Maria!", "\u200f\u05e9\u05dc\u05d5\u05dd\u200e",
    "\u041f\u0440\u0438\u0432\u0435\u0442", "\u041c\u043e\u0441\u043a\u0432\u0430 \u0438 \u041a\u0438\u0457\u0432", "\u0439 \u0438\u0306", "\u041b\u041e\u041d\u0414\u041e\u041d", "\u0395\u03bb\u03bb\u03ac\u03b4\u03b1", "\u039f\u0394\u039f\u03a3 \u03bf\u03b4\u03cc\u03c2", "\u03a3\u03a3\u03a3 \u03c3\u03c2", "\u1f08\u03b8\u1fc6\u03bd\u03b1\u03b9",
    "\u0928\u092e\u0938\u094d\u0924\u0947", "\u0939\u093f\u0928\u094d\u0926\u0940 \u092d\u093e\u0937\u093e", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "\u0e01\u0e33 \u0e19\u0e49\u0e33", "\u0dc1\u0dca\u200d\u0dbb\u0dd3", "\u1019\u103c\u1014\u103a\u1019\u102c", "\u10e1\u10d0\u10e5\u10d0\u10e0\u10d7\u10d5\u10d4\u10da\u10dd", "\u13e3\u13b3\u13a9", "\u0531\u0580\u0587", "\u1208\u121d", "p\u0430yp\u0430l", "L\u043end\u043en", "\u0418van of Berlin",
]

LITERALS = [
    "[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]", "[CLS] hello [SEP]", "a [MASK] b", "the[SEP]end", "[cls] [sep]", "[ CLS ]", "[CLS", "CLS]", "[[CLS]]", "[UNK] [UNK]", "[PAD][PAD][PAD] x", "hello [UNK] world",
    "<s>", "</s>", "<pad>", "<unk>", "<mask>", "<s> hello </s>", "a <mask> b", "a<mask>b", "a  <mask>  b", "< s >", "<S>", "<unk> John <unk>", "##ing", "run##ning", "## ing", "##", "a ## b", "#", "\u2581", "\u2581hello", "hello\u2581world", "\u0120", "\u0120hello", "\u010a", "|endoftext|",
]

CODE = [
    "http://www.example.com/a/b?c=d&e=f#g", "https://example.org", "www.example.net", "see example.com.", "john.doe@example.com", "<john@example.org>", "@maria", "#London", "#NewYork2024 @john_doe", "RT @user: #win!!", "user_name", "camelCaseWord", "PascalCaseWord", "snake_case_word", "kebab-case-word", "SCREAMING_SNAKE",
    "iPhone eBay YouTube", "McDonald O'Neill", "don't", "don\u2019t", "Don'T", "it's John's", "rock 'n' roll", "'tis", "the boys' room", "l'\u00e9cole", "I'm you're we've he'd she'll", "e-mail", "state-of-the-art", "twenty-one", "U.S.A.", "U.S.", "Ph.D.", "a.m. p.m.", "e.g. this, i.e. that", "No.5", "C++", "C#", ".NET", "node.js", "AT&T", "R&D", "24/7", "1/2", "and/or",
    "3.14159", "1,000,000", "1 000 000", "-5", "+49 30 1234567", "(555) 0100", "12:30", "2024-05-17", "17.05.2024", "10:45:59.999Z", "$1,234.56", "50\u20ac", "1e-10", "0xDEADBEEF", "192.0.2.1", "::1", "v1.2.3-rc.4+build", "3rd 4th 21st", "1990s", "12345678901234567890", "00000000", "x=1;y=2;", "if (a<b) { return a[0]; }", "fn main() { println!(\"hi\"); }", "SELECT * FROM t WHERE a='b';", "<p>Hello</p>", "&amp; &lt;", "{\"a\": [1, 2]}", "a\\nb", "C:\\Temp\\x.txt", "/usr/bin/env", "$HOME", "a=b", "foo(bar)", "--help", "^_^", ":-)", ";)", "<3", "\u00af\\_(\u30c4)_/\u00af",
]

SHAPES = [
    "ALL CAPS EVERYWHERE IN LONDON", "mIxEd CaSe WoRdS", "FREE MONEY!!! CALL NOW!!!", "s p a c e d  o u t", "r.u.n.n.i.n.g", "soooooo goooood", "hahahahahaha", "loooooooooooooooooooong", "a" * 99, "a" * 100, "a" * 101, "ab" * 60, "x" * 250, "supercalifragilisticexpialidocious", "pneumonoultramicroscopicsilicovolcanoconiosis", "Donaudampfschifffahrtsgesellschaft", "antidisestablishmentarianism",
    "\u00e9" * 60, "e\u0301" * 60, "\u4e2d" * 40, "\U0001f600" * 20, "!" * 80, "." * 70, "9" * 120, "- " * 40, "John " * 30, "[UNK] " * 35, "na\u00efve" * 25, "\u0130" * 30, "\u0120" * 30, "Maria\tJohn\nLondon\r\nBerlin\u00a0Rome\u3000Tokyo", "Maria,John;London:Berlin/Rome|Tokyo", "Maria-John_London.Berlin", "MariaJohnLondonBerlin", "(Maria) [John] {London} <Berlin>", "\"Maria\" 'John' \u201cLondon\u201d", "Maria\u2019s bank, John\u2019s bakery", "Mr.John", "John.", ".John", "John,London", "John ,London", "John , London",
    "Maria \U0001f600 John \U0001f680 London", "Maria\u200bJohn", "Mar\u00adia Jo\u200dhn", "\u202eMaria\u202c John", "Maria\x00John", "Maria\x07 \x1bJohn\x7f", "Maria\ufffdJohn", "Maria\u0001John", "\x1b[31mred\x1b[0m",
    "Berlin\u4e2dRome", "caf\u00e9\u4e2d\u56fdna\u00efve", "hello\u3001world\u3002", "\u300cMaria\u300d", "John\uff0cMaria\uff1aRome\uff01", "The caf\u00e9's owner, Fran\u00e7ois Lef\u00e8vre, moved to K\u00f6ln.", "THE CAF\u00c9'S OWNER, FRAN\u00c7OIS", "\u00bfD\u00f3nde est\u00e1 Mar\u00eda?", "Gr\u00fc\u00dfe aus M\u00fcnchen!", "Pr\u00e9sident de la R\u00e9publique", "Smith & Sons Ltd. (London)", "Norvik Lines' John", "The U.N. met in New York on 5 May 2024.", "Call 0800 555 0100 now", "win \u00a31000!!", "txt STOP 2 end", "c u l8r", "gr8 2 c u @ 5", "V1agra ch3ap", "fr\u0435e m\u043eney", "F.R.E.E", "u n s u b s c r i b e",
]

LONG = [
    " ".join(PROSE.split()[:90]),
    " ".join(PROSE.split()[90:260]),
    PROSE.strip(),
    "Maria " + "very " * 70 + "happy",
    "John met " + "Maria of Brightwater Bank, " * 18 + "in London",
    "Re: lunch\r\n\r\n> are you coming?\r\n> \tyes or no?\r\n\r\nI'd love to, but my train from K\u00f6ln is late again \U0001f62d\U0001f62d. Could we meet at 13:30 instead, at the caf\u00e9 opposite the station (the one with the red door)? Please tell Fran\u00e7ois & \u738b\u4f1f too; their number is +49 221 555 0100.\r\n\r\n-- \r\nMaria",
    "\u6211\u4eec\u5728\u4f26\u6566\u89c1\u9762\uff0c\u7136\u540e\u53bb\u4e86\u4e00\u5bb6\u5c0f\u9910\u9986\u3002\u90a3\u91cc\u7684\u8336\u5f88\u597d\u559d\uff0c\u4f46\u662f\u6709\u70b9\u513f\u8d35\u3002\u6211\u4eec\u8c08\u4e86\u5f88\u4e45\uff0c\u76f4\u5230\u5e97\u5bb6\u8981\u5173\u95e8\u4e86\u624d\u79bb\u5f00\u3002\u5916\u9762\u4e0b\u7740\u96e8\uff0c\u8857\u4e0a\u6ca1\u6709\u4eba\u3002",
    "def tag(text):\n    tokens = tokenizer.encode(text)\n    if len(tokens) > 512:\n        raise ValueError(f\"too long: {len(tokens)}\")\n    return [label for label in model(tokens) if label != 'O']\n\n\nprint(tag('Maria Gonzales works for Brightwater Bank in London.'))\n",
]

# Some ordinary sentences, so that not all is nasty.
SENTENCES = [line for line in PROSE.strip().splitlines()] + [
    "Harwick beat Eastmere 3-1 at home on Saturday.", "Shares in Norvik Lines fell by 9.5% to 41.20 euros.", "Is the office in Leeds open on Monday?", "Dear Ms. Okafor, thank you for your letter of 12 March.", "Anna-Lena M\u00fcller-L\u00fcdenscheidt, 34, of Bad T\u00f6lz", "Prof. Dr. h.c. John O'Brien Jr.", "From Paris to Rome via Z\u00fcrich in 9h30", "University of Ljubljana, Museum of Comics", "The Bank of Bank Street", "Gonzales/Andersson v. Brightwater", "We'll see.", "Thanks!!", "ok", "OK?", "lol", "brb, 5 min", "Sent from my phone",
]

TEXTS = list(dict.fromkeys(WORDS + PLAIN + ACCENTS + SYMBOLS + SCRIPTS + LITERALS + CODE + SHAPES + SENTENCES + LONG))
