use serde_json::{Value, json};

use super::*;

fn data() -> Value {
    json!({
        "cpus": 64, "neg": -5, "big": 1234567, "f": 3.15926, "g": 1e20, "h": 100.0, "z": 0.0, "s": "abc", "t": true,
        "n": null, "l": ["vmx", 1], "o": {"a": {"b": "x"}}, "small": 0.00001234, "h2": 2.5, "u": "é", "neg0": -0.0,
        "many": 123456789.0, "all_interfaces": {"eth0:1": {"mac": "m"}}, "7": "seven",
    })
}

fn format(text: &str) -> Result<Value, String> {
    Formatter::new(&data()).value(&json!(text)).map_err(|failure| failure.message)
}

/// A format, and the text that Python makes of it with [`data`]; `None` is an error there.
const PYTHON: &[(&str, Option<&str>)] = &[
    ("{data[g]:#}", Some("1.e+20")),
    ("{data[f]:#}", Some("3.15926")),
    ("{data[cpus]}", Some("64")),
    ("{data[cpus]:05d}", Some("00064")),
    ("{{{data[cpus]}}}", Some("{64}")),
    ("a{{b}}c", Some("a{b}c")),
    ("{data[big]:,}", Some("1,234,567")),
    ("{data[big]:015,}", Some("000,001,234,567")),
    ("{data[big]:012,}", Some("0,001,234,567")),
    ("{data[big]:011,}", Some("001,234,567")),
    ("{data[big]:010,}", Some("01,234,567")),
    ("{data[neg]:+d}", Some("-5")),
    ("{data[cpus]:+}", Some("+64")),
    ("{data[cpus]: d}", Some(" 64")),
    ("{data[neg]:=+6}", Some("-    5")),
    ("{data[neg]:06}", Some("-00005")),
    ("{data[cpus]:x}", Some("40")),
    ("{data[cpus]:#x}", Some("0x40")),
    ("{data[cpus]:#X}", Some("0X40")),
    ("{data[cpus]:#010x}", Some("0x00000040")),
    ("{data[cpus]:o}", Some("100")),
    ("{data[cpus]:#o}", Some("0o100")),
    ("{data[cpus]:b}", Some("1000000")),
    ("{data[cpus]:#b}", Some("0b1000000")),
    ("{data[cpus]:>6}", Some("    64")),
    ("{data[cpus]:<6}|", Some("64    |")),
    ("{data[cpus]:^6}|", Some("  64  |")),
    ("{data[cpus]:*^7}|", Some("**64***|")),
    ("{data[cpus]:.2f}", Some("64.00")),
    ("{data[cpus]:e}", Some("6.400000e+01")),
    ("{data[cpus]:g}", Some("64")),
    ("{data[cpus]:%}", Some("6400.000000%")),
    ("{data[f]}", Some("3.15926")),
    ("{data[f]:.2f}", Some("3.16")),
    ("{data[f]:8.3f}", Some("   3.159")),
    ("{data[f]:08.3f}", Some("0003.159")),
    ("{data[f]:e}", Some("3.159260e+00")),
    ("{data[f]:.0e}", Some("3e+00")),
    ("{data[f]:#.0e}", Some("3.e+00")),
    ("{data[f]:g}", Some("3.15926")),
    ("{data[f]:.3}", Some("3.16")),
    ("{data[f]:.1}", Some("3e+00")),
    ("{data[f]:.0}", Some("3e+00")),
    ("{data[f]:10}", Some("   3.15926")),
    ("{data[g]:g}", Some("1e+20")),
    ("{data[g]}", Some("1e+20")),
    ("{data[g]:,}", Some("1e+20")),
    ("{data[g]:.3}", Some("1e+20")),
    ("{data[g]:f}", Some("100000000000000000000.000000")),
    ("{data[h]:.3}", Some("1e+02")),
    ("{data[h]:.4}", Some("100.0")),
    ("{data[h]:g}", Some("100")),
    ("{data[h]:#g}", Some("100.000")),
    ("{data[h]:.0f}", Some("100")),
    ("{data[h]:#.0f}", Some("100.")),
    ("{data[z]:g}", Some("0")),
    ("{data[z]}", Some("0.0")),
    ("{data[z]:.3}", Some("0.0")),
    ("{data[small]:g}", Some("1.234e-05")),
    ("{data[small]}", Some("1.234e-05")),
    ("{data[small]:.2%}", Some("0.00%")),
    ("{data[h2]:.0f}", Some("2")),
    ("{data[h2]:.0%}", Some("250%")),
    ("{data[s]:6}|", Some("abc   |")),
    ("{data[s]:>6}", Some("   abc")),
    ("{data[s]:.2}", Some("ab")),
    ("{data[s]:^7.2s}|", Some("  ab   |")),
    ("{data[s]:05}", Some("abc00")),
    ("{data[s]!r}", Some("'abc'")),
    ("{data[s]!r:>7}", Some("  'abc'")),
    ("{data[l]!s:.5}", Some("['vmx")),
    ("{data[u]:>3}", Some("  é")),
    ("{data[u]!r}", Some("'é'")),
    ("{data[t]}", Some("True")),
    ("{data[t]:d}", Some("1")),
    ("{data[t]:4}", Some("   1")),
    ("{data[t]!s:>6}", Some("  True")),
    ("{data[n]}", Some("None")),
    ("{data[l]}", Some("['vmx', 1]")),
    ("{data[l][0]}", Some("vmx")),
    ("{data[o][a][b]}", Some("x")),
    ("{data[o]}", Some("{'a': {'b': 'x'}}")),
    ("{data[neg0]}", Some("-0.0")),
    ("{data[neg0]:g}", Some("-0")),
    ("{data[many]:,}", Some("123,456,789.0")),
    ("{data[many]:,.2f}", Some("123,456,789.00")),
    ("{data[many]:020,.2f}", Some("0,000,123,456,789.00")),
    ("{data[many]:g}", Some("1.23457e+08")),
    ("{data[neg]:x}", Some("-5")),
    ("{data[neg]:#06x}", Some("-0x005")),
    ("{data[big]:0=13,}", Some("0,001,234,567")),
    ("{data[big]:*=13,}", Some("****1,234,567")),
    ("{data[big]:,d}", Some("1,234,567")),
    ("{data[neg]:^+7}|", Some("  -5   |")),
    ("{data[h]:5.1f}%", Some("100.0%")),
    ("{data[s]:{{}}", None),
    ("{data[big]:<012,}|", Some("1,234,567000|")),
    ("{data[cpus]:<06}|", Some("640000|")),
];

#[test]
fn as_python_formats() {
    for (text, want) in PYTHON {
        assert_eq!(format(text).ok(), want.map(|want| json!(want)), "{text}");
    }
}

#[test]
fn spec_8_7_formatting_of_nested_keys() {
    let value = json!({"{data[s]}": [{"n{data[cpus]}": "{data[l][0]}-{data[f]:.1f}"}, 7, null, true, "plain"]});
    let want = json!({"abc": [{"n64": "vmx-3.2"}, 7, null, true, "plain"]});
    assert_eq!(Formatter::new(&data()).value(&value), Ok(want));
}

#[test]
fn keys_with_colons_and_dotted_lookup() {
    assert_eq!(format("{data[all_interfaces][eth0:1][mac]}"), Ok(json!("m")));
    assert_eq!(format("{data.o.a[b]}"), Ok(json!("x")));
}

#[test]
fn what_is_missing_is_named() {
    let table = [
        ("x {data[foo][bar]}", "foo"),
        ("{data[l][9]}", "9"),
        ("{data[l][-1]}", "-1"),
        ("{data[l][vmx]}", "vmx"),
        ("{data[7]}", "7"),
        ("{data[s][0]}", "0"),
        ("{data.__class__}", "__class__"),
        ("{data.s.upper}", "upper"),
        ("{other}", "other"),
        ("{}", ""),
        ("{0}", "0"),
    ];
    for (text, key) in table {
        let want = format!("Invalid formatting variable key provided in value {text}: {key}");
        assert_eq!(format(text), Err(want), "{text}");
    }
}

#[test]
fn bad_formats_are_errors() {
    let bad = [
        "{",
        "}",
        "a } b",
        "{data",
        "{data[s}",
        "{data[s]x}",
        "{data[]}",
        "{data.}",
        "{data[s]!a}",
        "{data[s]!}",
        "{data[s]!sx}",
        "{data[s]:d}",
        "{data[s]:+}",
        "{data[s]:=5}",
        "{data[s]:,}",
        "{data[f]:d}",
        "{data[cpus]:.2d}",
        "{data[cpus]:s}",
        "{data[cpus]:,x}",
        "{data[cpus]:c}",
        "{data[cpus]:99999}",
        "{data[f]:.99999f}",
        "{data[n]:5}",
        "{data[l]:5}",
        "{data[cpus]:{data[cpus]}}",
        "{data[cpus]:5.}",
        "{data[cpus]:5dd}",
    ];
    for text in bad {
        let error = format(text).unwrap_err();
        assert!(error.starts_with(&format!("Invalid format string in value {text}: ")), "{text}: {error}");
    }
}

#[test]
fn output_is_limited() {
    let data = json!({ "x": "y".repeat(1 << 20) });
    let error = Formatter::new(&data).value(&json!("{data}".repeat(40))).unwrap_err();
    assert!(error.message.contains("more than 16777216 bytes"), "{error}");
}

proptest::proptest! {
    #[test]
    fn never_panics(text in "[{}data\\[\\]:!.,0-9a-z<>=^+#%é ]{0,40}", spec in "[<>=^+ #0-9,.sdxXobfeg%é]{0,8}") {
        let _ = format(&text);
        for key in ["cpus", "f", "s", "t", "g", "neg"] {
            let _ = format(&format!("{{data[{key}]:{spec}}}"));
        }
    }
}
