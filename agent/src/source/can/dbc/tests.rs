//! What a database makes of files and frames.

use proptest::prelude::*;

use super::*;

const FILE: &str = r#"VERSION "1"
NS_ :
	CM_
	BA_DEF_
BS_: 500
BU_: Engine
 Dashboard Gateway
VAL_TABLE_ OnOff 0 "Off" 1 "On \"full\"" ;
BO_ 500 Lamp: 8 Dashboard
 SG_ Level : 0|8@1- (-0.5,3) [0|0] "%" Engine
 SG_ Mode : 8|2@1+ (1,0) [0|3] "" Engine,Gateway
BO_ 2566844926 CCVS: 8 Vector__XXX
 SG_ Speed : 8|16@1+ (0.00390625,0) [0|250.996] "km/h" Vector__XXX
 SG_ Brake : 2|2@1+ (1,0) [0|3] "" Vector__XXX
BO_ 501 Pages: 8 Engine
 SG_ Page M : 0|8@1+ (1,0) [0|0] "" Engine
 SG_ Sub m1M : 8|8@1+ (1,0) [0|0] "" Engine
 SG_ A m0 : 16|16@1+ (1,0) [0|0] "" Engine
 SG_ B m3 : 16|32@1- (1,0) [0|0] "" Engine
BO_ 3221225472 VECTOR__INDEPENDENT_SIG_MSG: 0 Vector__XXX
 SG_ Nowhere : 0|8@1+ (1,0) [0|0] "" Vector__XXX
CM_ BO_ 500 "A lamp;
 of two lines";
BA_DEF_ BO_ "VFrameFormat" ENUM "StandardCAN","ExtendedCAN","J1939PG";
BA_DEF_DEF_ "VFrameFormat" "StandardCAN";
BA_ "VFrameFormat" BO_ 2566844926 2;
VAL_ 500 Mode OnOff ;
VAL_ 500 Level 255 "far" -1 "none" ;
SIG_VALTYPE_ 501 B : 1;
SG_MUL_VAL_ 501 B Sub 3-5, 9-9;
SG_MUL_VAL_ 501 A Page 0-0, 7-8;
SG_MUL_VAL_ 501 Sub Page 1-1;
"#;

fn database(text: &str) -> Database {
    let (database, faults) = Database::parse(text.as_bytes());
    assert_eq!(faults, []);
    database
}

/// The signals of a frame as `name=value[ text]`, or `name!fault`.
fn check(database: &Database, id: CanId, data: &[u8], expected: &str) {
    let message = database.find(id).expect("message");
    let shown = message.values(data).map(|(signal, sample)| match sample {
        Ok(Sample { value, text: None, .. }) => format!("{}={value}", signal.name),
        Ok(Sample { value, text: Some(text), .. }) => format!("{}={value} {text}", signal.name),
        Err(fault) => format!("{}!{}", signal.name, fault.as_str()),
    });
    assert_eq!(shown.collect::<Vec<_>>().join("; "), expected, "{id} {data:02X?}");
}

#[test]
fn signals_are_scaled_and_named_by_their_tables() {
    let database = database(FILE);
    let lamp = CanId::Standard(500);
    check(&database, lamp, &[0xff, 1, 0, 0, 0, 0, 0, 0], "Level=3.5 none; Mode=1 On \"full\"");
    check(&database, lamp, &[0x80, 2], "Level=67; Mode=2");
    check(&database, lamp, &[0x80], "Level=67; Mode!short_frame");
}

#[test]
fn a_page_shows_its_signals_only() {
    let database = database(FILE);
    let pages = CanId::Standard(501);
    check(&database, pages, &[0, 3, 0x34, 0x12, 0, 0], "Page=0; A=4660");
    check(&database, pages, &[8, 3, 0x34, 0x12, 0, 0], "Page=8; A=4660");
    check(&database, pages, &[1, 4, 0, 0, 0x80, 0x3f], "Page=1; Sub=4; B=1");
    check(&database, pages, &[1, 4, 0, 0, 0xc0, 0x7f], "Page=1; Sub=4; B!not_available");
    check(&database, pages, &[1, 6, 0, 0, 0, 0], "Page=1; Sub=6");
    check(&database, pages, &[2, 4, 0, 0, 0, 0], "Page=2");
    check(&database, pages, &[], "Page!short_frame");
    let message = database.find(pages).expect("message");
    let unknown = [[0, 3], [8, 3], [1, 4], [1, 6], [2, 4]].map(|data| message.is_unknown_page(&data));
    assert_eq!(unknown, [false, false, false, true, true]);
}

#[test]
fn a_parameter_group_is_found_whoever_sends_it_and_its_reserved_codes_are_no_values() {
    let database = database(FILE);
    for id in [0x18FE_F1FE, 0x18FE_F100, 0x0CFE_F121] {
        check(&database, CanId::Extended(id), &[0xff, 0, 0x5a, 0, 0, 0, 0, 0], "Speed=90; Brake!not_available");
    }
    check(&database, CanId::Extended(0x18FE_F100), &[0, 0xff, 0xff], "Speed!not_available; Brake=0");
    assert_eq!(database.find(CanId::Extended(0x18FE_F200)), None);
    assert_eq!(database.find(CanId::Standard(0x1f6)), None);
}

#[test]
fn selected_signals_are_renamed_and_the_others_silent() {
    let mut database = database(FILE);
    let faults = database.select([("CCVS.Speed", "Vehicle.Speed"), ("CCVS.Sped", "x"), ("Lamb.Mode", "x"), ("y", "x")]);
    assert_eq!(
        faults,
        Err(vec![
            "message CCVS has no signal Sped; it has Speed, Brake".to_owned(),
            "no DBC file has a message Lamb; correct from = \"Lamb.Mode\"".to_owned(),
            "y is no MESSAGE.SIGNAL".to_owned(),
        ])
    );
    let named = database.messages().iter().flat_map(|message| &message.signals);
    assert_eq!(named.filter_map(|signal| signal.reading_name.as_deref()).collect::<Vec<_>>(), ["Vehicle.Speed"]);
}

/// The mistakes of a file, each `line message`, and how many messages are left.
fn check_faults(text: &str, messages: usize, expected: &[&str]) {
    let (database, faults) = Database::parse(text.as_bytes());
    let shown: Vec<_> = faults.iter().map(|fault| format!("{} {}", fault.line, fault.message)).collect();
    assert_eq!(
        (shown, database.messages().len()),
        (expected.iter().map(|line| (*line).to_owned()).collect(), messages)
    );
}

#[test]
fn a_mistake_has_its_line_and_costs_only_what_it_is_in() {
    check_faults(
        "BO_ 1 A: 8 X\n SG_ S : 0|8@2+ (1,0) [0|0] \"\" X\n SG_ T : 8|8@1+ (1,0 [0|0] \"\" X\n SG_ U : 16|65@1+ (1,0) [0|0] \"\" X\n\
         BO_ two B: 8 X\n SG_ S : 0|8@1+ (1,0) [0|0] \"\" X\n\
         BO_ 3 C 8 X\nBO_ 4 D: 8 X\n SGG_ S : 0|8@1+ (1,0) [0|0] \"\" X\n\
         BO_ 1 E: 8 X\nVAL_ 3 S 0 \"off\" ;\nVAL_ 5 S 0 \"off\" ;\nVAL_ 4 S 0 \"off\"\nBO_ 6 F: 8 X\n",
        3,
        &[
            "2 SG_: byte order 2 must be 0 (Motorola) or 1 (Intel); until then it is left out",
            "3 SG_: ')' must stand before \"[0|0] \\\"\\\" X\"; until then it is left out",
            "4 signal A.U: is 65 bits wide; 1 to 64 can be read; until then it is left out",
            "5 BO_: a number must stand before \"two B: 8 X\"; until then it is left out",
            "7 BO_: ':' must stand before \"8 X\"; until then it is left out",
            "9 SGG_: \"SGG_\" begins no statement of a DBC file; correct or remove the line; until then it is left out",
            "10 message E has the identifier 1 of A in line 1; give it its own, until then it is left out",
            "12 VAL_: there is no message 5; correct the number or remove the line",
            "13 VAL_: ';' must stand before \"BO_ 6 F: 8 X\"; until then it is left out",
        ],
    );
}

#[test]
fn pages_that_lead_nowhere_are_mistakes() {
    let signal = |name: &str, mark: &str, start: u8| format!(" SG_ {name} {mark} : {start}|8@1+ (1,0) [0|0] \"\" X\n");
    let text =
        ["BO_ 1 A: 8 X\n".to_owned(), signal("S", "m1M", 0), signal("T", "m1M", 8), signal("U", "m0", 16)].concat();
    let circle = format!("{text}SG_MUL_VAL_ 1 S T 1-1;\nSG_MUL_VAL_ 1 T S 1-1;\nSG_MUL_VAL_ 1 U S 0-0;\n");
    check_faults(
        &circle,
        1,
        &[
            "2 signal A.S: is on a page of itself; correct its SG_MUL_VAL_; until then it is left out",
            "3 signal A.T: is on a page of itself; correct its SG_MUL_VAL_; until then it is left out",
            "4 signal A.U: its switch S is no switch (M) of this message; until then it is left out",
        ],
    );
    let text = ["BO_ 1 A: 8 X\n".to_owned(), signal("S", "M", 0), signal("T", "M", 8), signal("U", "m0", 16)].concat();
    check_faults(
        &text,
        1,
        &["4 signal A.U: is on a page of S or of T; say which with SG_MUL_VAL_; until then it is left out"],
    );
}

#[test]
fn a_later_file_does_not_replace_the_messages_of_an_earlier_one() {
    let folder = tempfile::tempdir().expect("folder");
    let files = ["a.dbc", "b.dbc", "c.dbc"].map(|name| folder.path().join(name));
    std::fs::write(&files[0], "BO_ 1 A: 8 X\n").expect("write");
    std::fs::write(&files[1], "BO_ 1 B: 8 X\nBO_ 2 C: 8 X\nBO_ 4096 D: 8 X\n").expect("write");
    let (database, faults) = crate::source::dbc_files::load(&files);
    let names: Vec<_> = database.messages().iter().map(|message| &*message.name).collect();
    assert_eq!(names, ["A", "C"]);
    let shown: Vec<_> = faults.iter().map(ToString::to_string).collect();
    let path = |n: usize| files[n].display();
    assert!(shown[0].starts_with(&format!("{}:3: message D: identifier 4096", path(1))), "{shown:?}");
    assert!(shown[1].starts_with(&format!("{}: message B has the identifier 001 of A", path(1))), "{shown:?}");
    assert!(shown[2].starts_with(&format!("{}: cannot be read", path(2))), "{shown:?}");
}

/// Writes `raw` where the file says the signal lies: the definition of the two byte orders, bit by bit.
fn encode(raw: u64, start: u64, bits: u64, is_intel: bool) -> [u8; 64] {
    let mut data = [0; 64];
    let mut at = start;
    for n in 0..bits {
        // Intel counts up from the least significant bit, Motorola down from the most significant one.
        let bit = if is_intel { n } else { bits - 1 - n };
        let slot = &mut data[usize::try_from(at / 8).expect("in range")];
        *slot |= u8::from(raw >> bit & 1 == 1) << (at % 8);
        at = match (is_intel, at % 8) {
            (true, _) => at + 1,
            (false, 0) => at + 15,
            (false, _) => at - 1,
        };
    }
    data
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(
        raw: u64, start in 0_u64..440, bits in 1_u64..=64, is_intel: bool, signed: bool,
        factor in -1e3..1e3_f64, offset in -1e6..1e6_f64,
    ) {
        let raw = raw >> (64 - bits);
        let (order, sign) = (u8::from(is_intel), if signed { '-' } else { '+' });
        let text = format!(
            "BO_ 2147484000 M: 64 X\n SG_ S : {start}|{bits}@{order}{sign} ({factor:?},{offset:?}) [0|0] \"\" X\n"
        );
        let database = database(&text);
        let data = encode(raw, start, bits, is_intel);
        let message = database.find(CanId::Extended(352)).expect("message");
        let (_, sample) = message.samples(&data).next().expect("signal");
        let number = if signed && raw >> (bits - 1) == 1 { i128::from(raw) - (1 << bits) } else { i128::from(raw) };
        let sample = sample.expect("long enough");
        prop_assert_eq!(sample.raw.whole(), Some(number));
        let value = number as f64 * factor + offset;
        prop_assert_eq!(sample.value, value);
    }

    #[test]
    fn floats_are_decoded_to_the_bit(single: f32, double: f64, is_intel: bool) {
        let (order, starts) = if is_intel { (1, [0, 32]) } else { (0, [7, 39]) };
        let text = format!(
            "BO_ 1 M: 64 X\n SG_ A : {}|32@{order}- (1,0) [0|0] \"\" X\n SG_ B : {}|64@{order}- (1,0) [0|0] \"\" X\n\
             SIG_VALTYPE_ 1 A : 1;\nSIG_VALTYPE_ 1 B 2;\n", starts[0], starts[1]
        );
        let mut data = encode(single.to_bits().into(), starts[0], 32, is_intel);
        for (byte, more) in data.iter_mut().zip(encode(double.to_bits(), starts[1], 64, is_intel)) {
            *byte |= more;
        }
        let database = database(&text);
        let message = database.find(CanId::Standard(1)).expect("message");
        let found: Vec<_> = message.samples(&data).map(|(_, sample)| sample.expect("long enough").raw).collect();
        prop_assert_eq!(found, [Raw::Real(single.into()), Raw::Real(double)]);
    }

    #[test]
    fn no_file_and_no_frame_panics(
        at in 0..FILE.len(), length in 0_usize..40, noise in "[-0-9a-zA-Z_:;@|\"\\\\ \n(),\\[\\]Mm+é]{0,20}",
        data in proptest::collection::vec(any::<u8>(), 0..=64),
    ) {
        let mut bytes = FILE.as_bytes().to_vec();
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, noise.bytes());
        let (database, _) = Database::parse(&bytes);
        for message in database.messages() {
            let count = message.values(&data).count();
            prop_assert!(count <= message.signals.len() && (count > 0 || !message.is_unknown_page(&data)));
        }
    }
}
