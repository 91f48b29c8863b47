use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

fn compiled(sql: &str) -> Condition {
    Condition::compile(sql, &AnyJson).unwrap_or_else(|e| panic!("{sql}: {e}"))
}

fn row() -> Json {
    json!({
        "speed": 88.5, "mil_on": true, "lamp": false, "model": "Van 3", "codes": ["P0217", "C1234"],
        "zone": {"id": "a", "leaving": true}, "empty": [], "nothing": null, "it's": 1, "numbers": [1, 2]
    })
}

#[test]
fn outcomes() {
    let row = row();
    for (sql, outcome) in [
        ("speed > 88", Some(true)),
        ("speed <= 88", Some(false)),
        ("NOT speed = 88.5", Some(false)),
        ("speed <> 1 and SPEED is null", Some(true)),
        ("speed != 88.5", Some(false)),
        ("speed BETWEEN 88.5 AND 90", Some(true)),
        ("speed NOT BETWEEN 1 AND 2", Some(true)),
        ("speed BETWEEN nothing AND 1", Some(false)),
        ("speed BETWEEN nothing AND 100", None),
        ("model IN ('Van 3', 'Car')", Some(true)),
        ("model NOT IN ('Van 3')", Some(false)),
        ("model IN ('x', absent)", None),
        ("model LIKE 'Van%'", Some(true)),
        ("model NOT LIKE '_an _'", Some(false)),
        ("codes LIKE 'C%'", Some(true)),
        ("codes LIKE 'B%'", Some(false)),
        ("empty LIKE '%'", Some(false)),
        ("'P0217' = ANY(codes)", Some(true)),
        ("'P0300' = SOME(codes)", Some(false)),
        ("'P0217' <> ALL(codes)", Some(false)),
        ("'x' = ANY(absent)", None),
        ("2 = ANY(numbers)", Some(true)),
        ("2 < ALL(numbers)", Some(false)),
        ("absent > 1", None),
        ("absent > 1 OR TRUE", Some(true)),
        ("absent > 1 AND FALSE", Some(false)),
        ("absent > 1 OR FALSE", None),
        ("NOT absent > 1", None),
        ("absent IS NULL AND nothing IS NULL", Some(true)),
        (
            "zone IS NOT NULL AND zone.id = 'a' AND zone.leaving",
            Some(true),
        ),
        ("zone = 'a'", None),
        ("zone.x.y IS NULL", Some(true)),
        ("mil_on", Some(true)),
        ("mil_on = lamp", Some(false)),
        ("lamp IS FALSE AND absent IS NOT TRUE", Some(true)),
        ("speed + 1.5 * 2 - 3 = 88.5", Some(true)),
        ("-speed < +0", Some(true)),
        ("10 - 3 - 2 = 5 AND 8 / 2 / 2 = 2 AND 7 % 4 = 3", Some(true)),
        ("1 / 0 = 1", None),
        ("abs(-2) = 2 AND coalesce(absent, 3) = 3", Some(true)),
        ("least(absent, 4, 2) = 2 AND greatest(1, 5) = 5", Some(true)),
        ("greatest(absent) IS NULL", Some(true)),
        ("speed = 'x'", None),
        ("1 = 1 OR 1 = 2 AND 1 = 3", Some(true)),
        ("(1 = 1 OR 1 = 2) AND 1 = 3", Some(false)),
        ("NOT 1 = 2 AND 1 = 1", Some(true)),
        ("\"it's\" = 1 -- said so", Some(true)),
        ("model = 'it''s'", Some(false)),
        ("model > 'Car' /* as texts */", Some(true)),
    ] {
        assert_eq!(compiled(sql).evaluate(&row), outcome, "{sql}");
        assert_eq!(compiled(sql).holds(&row), outcome == Some(true), "{sql}");
    }
}

const TABLE: Table<'static> = Table(&[
    ("speed", Type::Number),
    ("coolant_temperature", Type::Number),
    ("mil_on", Type::Flag),
    ("model", Type::Text),
    ("dtc_list", Type::List),
]);

#[test]
fn errors_name_the_place_and_the_cure() {
    for (sql, position, problem, cure) in [
        ("", 1, "empty", "speed > 120"),
        ("speed", 1, "must be a flag", "compare it"),
        (
            "coolant_temprature > 1",
            1,
            "no field `coolant_temprature`",
            "`coolant_temperature`",
        ),
        ("xyz > 1", 1, "no field `xyz`", "the fields are: speed, "),
        ("speed > 'fast'", 9, "compared with a text", "one type"),
        ("speed >", 8, "missing", "write"),
        ("speed > 1 speed", 11, "not understood", "use comparisons"),
        ("(speed > 1", 11, ") is missing", "write )"),
        (
            "speed > 1\nAND model > 2",
            23,
            "compared with a number",
            "one type",
        ),
        ("speed == 1", 7, "`==` is not part", "write ="),
        ("speed > 1 && mil_on", 11, "not part", "AND"),
        ("speed > 1;", 10, "not part", "leave it out"),
        ("speed = NULL", 9, "never true", "IS NULL"),
        ("1 < speed < 3", 11, "chained", "AND"),
        ("mil_on > TRUE", 10, "no order", "= or <>"),
        ("dtc_list = 'P0217'", 1, "as a whole", "ANY(dtc_list)"),
        ("'P0217' = ANY(speed)", 15, "must be a list", "dtc_list"),
        ("sqrt(speed) > 1", 1, "sqrt() is not part", "abs()"),
        ("speed > (SELECT 1)", 10, "not understood", "use"),
        (
            "CASE WHEN mil_on THEN 1 END = 1",
            1,
            "not understood",
            "use",
        ),
        ("model LIKE speed", 12, "needs a pattern", "'P02%'"),
        ("model LIKE 'a' ESCAPE 'b'", 16, "ESCAPE", "="),
        ("model = 'open", 9, "", "quote"),
        ("abs(speed, 2) > 1", 1, "takes one", "abs(a)"),
        ("NOT speed", 5, "must be a flag", "compare"),
        ("speed + model > 1", 9, "must be a number", "number"),
        ("speed > 1e999", 9, "not part", "98.5"),
        ("speed IS 3", 10, "IS is followed", "="),
        ("coalesce(speed, model) = 1", 17, "two types", "one type"),
    ] {
        let error = Condition::compile(sql, &TABLE).expect_err(sql);
        assert_eq!(error.position, position, "{sql}: {error}");
        assert!(error.problem.contains(problem), "{sql}: {error}");
        assert!(error.cure.contains(cure), "{sql}: {error}");
    }
}

#[test]
fn sizes_are_bounded_and_long_ones_are_fast() {
    let long = format!("speed = 1{}", " OR speed = 1".repeat(140));
    assert!(compiled(&long).evaluate(&row()) == Some(false));
    let error = Condition::compile(&format!("{long}{}", " ".repeat(2048)), &AnyJson).unwrap_err();
    assert!(error.problem.contains("longer than 2048"));
    let nested = |n: usize| format!("{}mil_on{}", "(".repeat(n), ")".repeat(n));
    assert!(compiled(&nested(DEEPEST)).holds(&row()));
    for sql in [
        nested(DEEPEST + 1),
        nested(1000),
        "NOT ".repeat(400) + "mil_on",
        "(".repeat(2000),
        format!("{}speed > 1", "- ".repeat(900)),
        "abs(".repeat(500),
    ] {
        let error = Condition::compile(&sql, &AnyJson).unwrap_err();
        assert!(error.problem.contains("nested deeper"), "{error}");
    }
    assert!(compiled(&format!("speed{} > 1", " + 1".repeat(500))).holds(&row()));
}

#[test]
fn every_alert_field_can_be_named_without_quotes() {
    for (name, _) in ALERT_FIELDS.0 {
        let condition = Condition::compile(&format!("{name} IS NULL"), &ALERT_FIELDS).unwrap();
        assert_eq!(condition.fields(), [*name]);
    }
}

/// Conditions by the grammar.
fn conditions() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        Just("speed".to_owned()),
        Just("absent".to_owned()),
        Just("nothing".to_owned()),
        (-100i32..100).prop_map(|n| format!("{}", f64::from(n) / 2.0)),
    ];
    let sum = number.clone().prop_recursive(2, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), "[-+*/%]", inner.clone())
                .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            inner.clone().prop_map(|a| format!("abs({a})")),
            inner.clone().prop_map(|a| format!("- {a}")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("least({a}, {b})")),
        ]
    });
    let leaf = prop_oneof![
        Just("mil_on".to_owned()),
        Just("absent".to_owned()),
        Just("lamp = FALSE".to_owned()),
        Just("codes LIKE 'P%'".to_owned()),
        Just("model NOT LIKE '%x'".to_owned()),
        Just("'P0217' = ANY(codes)".to_owned()),
        (sum.clone(), "=|<>|<|<=|>|>=", sum.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        (sum.clone(), sum.clone(), sum.clone())
            .prop_map(|(a, b, c)| format!("{a} BETWEEN {b} AND {c}")),
        (sum.clone(), sum.clone()).prop_map(|(a, b)| format!("{a} NOT IN ({b}, 1)")),
        sum.prop_map(|a| format!("{a} IS NOT NULL")),
    ];
    leaf.prop_recursive(4, 24, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| format!("NOT ({a})")),
            inner.clone().prop_map(|a| format!("({a}) IS NOT TRUE")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) AND ({b})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("{a} OR {b}")),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_compiled_or_refused(sql in "\\PC{0,200}") {
        let _ = Condition::compile(&sql, &AnyJson).map(|c| c.evaluate(&row()));
    }

    #[test]
    fn any_words_are_compiled_or_refused(words in proptest::collection::vec(
        "AND|OR|NOT|IN|IS|NULL|TRUE|LIKE|BETWEEN|ANY|\\(|\\)|,|\\.|'a'|'|\"|1|1e|-|\\+|\\*|%|<|=|speed|codes|zone|abs|X'1F'|N'x'|\\$1|\\[|::|--|/\\*|é|\n", 0..40)) {
        if let Ok(c) = Condition::compile(&words.join(" "), &AnyJson) {
            let again = compiled(&c.to_string());
            prop_assert_eq!(again.evaluate(&row()), c.evaluate(&row()));
        }
    }

    #[test]
    fn laws(a in conditions(), b in conditions(), c in conditions()) {
        let row = row();
        let is = |sql: String| compiled(&sql).evaluate(&row);
        prop_assert_eq!(is(format!("NOT (NOT ({a}))")), is(a.clone()));
        prop_assert_eq!(is(format!("({a}) AND ({b})")), is(format!("({b}) AND ({a})")));
        prop_assert_eq!(is(format!("({a}) OR ({b})")), is(format!("({b}) OR ({a})")));
        prop_assert_eq!(is(format!("NOT (({a}) AND ({b}))")), is(format!("NOT ({a}) OR NOT ({b})")));
        prop_assert_eq!(is(format!("NOT (({a}) OR ({b}))")), is(format!("NOT ({a}) AND NOT ({b})")));
        prop_assert_eq!(
            is(format!("({a}) AND (({b}) OR ({c}))")),
            is(format!("({a}) AND ({b}) OR ({a}) AND ({c})"))
        );
        prop_assert_eq!(is(format!("({a}) OR FALSE")), is(a.clone()));
        prop_assert_eq!(is(format!("({a}) AND TRUE")), is(a.clone()));
        prop_assert_eq!(is(format!("({a}) AND FALSE")), Some(false));
        prop_assert_eq!(is(format!("({a}) OR TRUE")), Some(true));
        // The excluded middle holds only where the outcome is known.
        prop_assert_eq!(is(format!("({a}) OR NOT ({a})")), is(a.clone()).map(|_| true));
    }

    #[test]
    fn one_spelling(sql in conditions()) {
        let first = compiled(&sql);
        let again = compiled(&first.to_string());
        prop_assert_eq!(&again.to_string(), &first.to_string());
        prop_assert_eq!(again.evaluate(&row()), first.evaluate(&row()));
        prop_assert_eq!(again, first);
    }
}
