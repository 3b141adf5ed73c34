//! A free background model of English: which words say nothing about a meeting, and which say little.
//!
//! The reference design uses the order of a 30,000-entry vocabulary as a frequency rank. Until that
//! vocabulary arrives with the embedding table, three graded word lists stand in for it.

use std::{collections::HashSet, sync::LazyLock};

/// English function words and conversational filler: never a term, never part of a key phrase.
const STOP_ENGLISH: &str = "a an the and or but if of at by for with about to from in on is are was were be been \
being am do does did done doing have has had having i you he she it we they me him her us them my your his its \
our their this that these those as so than then too very can will just would could should not no yes what which \
who whom whose when where why how s t re ve ll d m okay ok yeah yep yup right well like um uh mm hmm oh ah know \
mean think got get gets getting gotten go goes going gone went one thing things kind sort there here also really \
actually because cause cuz maybe say says said saying want wants wanted need needs needed let lets see make makes \
made up out all some any more other lot bit good gonna wanna gotta alright into over off down only even again \
still now both each few most own same such until while during before after above below between through against \
once nor may might must shall ours yours hers theirs myself yourself himself herself itself themselves ourselves \
i'm i've i'd i'll you're you've you'd you'll he's he'd he'll she's she'd she'll it's it'd it'll we're we've we'd \
we'll they're they've they'd they'll that's that'd that'll there's there'd here's what's who's where's how's why's \
let's don't doesn't didn't isn't aren't wasn't weren't won't wouldn't can't couldn't shouldn't haven't hasn't \
hadn't ain't y'all i'ma d'you cannot cos 'cause 'em nah nope hi hello hey bye thanks thank please sorry huh hm mhm \
mmhmm mm-hmm uh-huh etc whatever somehow anyway though although yet else ever never always often";

/// Swedish function words, used only when a text does not look English ("man", "var" and "men" are
/// content words or other words in English).
const STOP_SWEDISH: &str = "och det att i en jag hon som han på den med var sig för så till är men ett om hade de \
av icke mig du henne då sin nu har inte hans honom skulle hennes där min man ej vid kunde något från ut när efter \
upp vi dem vara vad över än dig kan sina här ha mot alla under någon eller allt mycket sedan ju denna själv detta \
åt utan varit hur ingen mitt ni bli blev oss din dessa några deras blir mina samma vilken er sådan vår blivit dess \
inom mellan sådant varför varje vilka ditt vem vilket sitta sådana vart dina vars vårt våra ert era vilkas också \
ska skall måste bara lite kanske väl ja nej okej hej tack få får fick göra gör går gå kommer tycker tror alltså \
liksom typ bra finns väldigt";

/// Words too general to name a topic on their own.
const GENERAL: &str = "able actual ago agree almost already amount another answer anybody anyone anything anywhere \
area around ask asked asking aspect away awful back bad basic basically beginning believe best better big bigger \
bottom bring brought call called came care case certain certainly change changes check cheers choose clear clearly close \
coming comes come common completely computer concern consider control correct couple course cool curious current \
day days definitely depend depends detail details different difference difficult direction directly discuss \
discussed discussing discussion double easier easily easy effect eight either eleven end ends enough entire \
especially essentially everybody everyone everything everywhere exactly example examples except expect explain \
extra fact fair fairly far feel felt fifteen fifty figure fill final finally find fine finish finished first five \
follow following forget form forty forward found four front full fun further future gave general generally give \
given gives giving glad goal great group guess guy guys half hand hands happen happened happens hard hate hear \
heard help hey hold hope hour hours hundred idea ideas imagine important inside instead interested interesting \
into issue issues item items job keep kept kinda knew known knows large last late later learn least leave left \
less level life line list listen literally little live long longer look looked looking looks lots love main \
making man many matter meant meeting meetings mention mentioned middle mind minute minutes missing moment month \
months morning move much name names nature nearly necessarily necessary new next nice nine nobody normal normally \
note nothing notice number obvious obviously odd old open opinion option options order otherwise outside overall \
paper part particular particularly parts pass past people perfect perhaps person pick piece place plan play plus \
point points position possible possibly present pretty probably problem problems process proper properly purpose \
put puts putting question questions quick quickly quite random rather read ready real realise realize reason \
reasonable recent recently regular remember rest result run running sake say seem seemed seems seen sense separate \
set seven several short show showed side similar simple simply since single sit situation six size small somebody \
someone something sometimes somewhat somewhere soon sounds sound space speak special specific split spot stage \
stand start started starting starts stay step stick stop straight stuff suggest suggested suppose supposed sure \
table take taken takes taking talk talked talking tell ten tend terms test therefore third thirty thought \
thousand three thirteen today together told tomorrow tonight took top total totally touch towards tried trouble true try \
trying turn twelve twenty two type types under understand unless update use used useful uses using usual usually \
various version view wait walk wanna wants watch way ways week weeks weird welcome whether whole within without \
wonder word words work worked working works world worry worth write wrong year years yesterday young zero \
somethin nothin lovely time times em ds include included includes including collect decide chose chosen choosing translate vast \
majority lower upper exclude initial initially previous certain obviously individual individually extremely \
incredibly personally actual amounts considering added adding assume assuming allow allows avoid buy bought sell \
sold cover covers create creating deal designing expensive cheap fifth fourth half hundred interests includes kids \
mode press pushing push pull roll skip skipping slight wrap recap review share refer referring remain write \
writing written lovely brilliant excellent awesome ones sixteen seventeen eighteen nineteen sixty seventy eighty \
ninety million second seconds alternative gonna coulda woulda shoulda absolutely apparently hopefully exact \
slightly bunch guess'd wow yay excited happy favourite favorite sec gotcha sweet mate folks";

/// Parts of speaker labels that are roles rather than names ("Project Manager", "Speaker 2").
const ROLE_WORDS: &str = "project manager marketing industrial designer design user interface professor grad phd \
postdoc undergrad speaker participant guest host unknown engineer engineering product sales support customer owner \
executive chair secretary moderator agent assistant bot team the dr mr mrs ms prof sir madam";

fn set(words: &'static str) -> HashSet<&'static str> {
    words.split_whitespace().collect()
}

static ENGLISH: LazyLock<HashSet<&'static str>> = LazyLock::new(|| set(STOP_ENGLISH));
static SWEDISH: LazyLock<HashSet<&'static str>> = LazyLock::new(|| set(STOP_SWEDISH));
static COMMON: LazyLock<HashSet<&'static str>> = LazyLock::new(|| set(GENERAL));
static ROLES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| set(ROLE_WORDS));

/// Words frequent in English and rare in other languages written with Latin letters.
static TELLING: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    set(
        "the and of to is that you we it this for have are with but not i'm it's that's don't yeah be would i my what \
         they there so can do if or who when where how which does did was will in on",
    )
});

/// Whether lower-case words look like English: at least one in nine is a telling function word.
///
/// Filler removal and the item patterns run only on English: "um" and "er" are ordinary words elsewhere.
pub(crate) fn looks_english<'a>(words: impl Iterator<Item = &'a str>) -> bool {
    let (mut all, mut telling) = (0_usize, 0_usize);
    for word in words {
        all += 1;
        telling += usize::from(TELLING.contains(word));
    }
    all > 0 && telling * 9 >= all
}

/// Whether a lower-case word carries no content.
pub(crate) fn is_stop(word: &str, english: bool) -> bool {
    ENGLISH.contains(word) || (!english && SWEDISH.contains(word))
}

/// Whether a lower-case word is too general to name a topic alone.
pub(crate) fn is_general(word: &str) -> bool {
    COMMON.contains(word)
}

/// Whether a lower-case part of a speaker label is a role, so that it stays a content word.
pub(crate) fn is_role_word(word: &str) -> bool {
    ROLES.contains(word)
}

/// How much a lower-case word tells, from 0 (stop word) to 1.
pub(crate) fn rarity(word: &str) -> f32 {
    if ENGLISH.contains(word) {
        0.0
    } else if COMMON.contains(word) || word.chars().all(char::is_numeric) {
        0.25
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn english_is_told_from_swedish_and_from_nothing() {
        assert!(looks_english(
            "so we will ship the new release on friday".split(' ')
        ));
        assert!(!looks_english(
            "vi ska skicka den nya versionen på fredag".split(' ')
        ));
        assert!(!looks_english(std::iter::empty()));
    }

    #[test]
    fn swedish_stop_words_stay_content_in_english() {
        assert!(!is_stop("man", true));
        assert!(is_stop("man", false));
        assert!(rarity("thing") < rarity("point") && rarity("point") < rarity("battery"));
    }
}
