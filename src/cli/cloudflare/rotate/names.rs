//! Which secret replaces which. Pure.
//!
//! A secret that replaces another has its name, and the date: `default` is replaced by `default-2026-11-29`. So an
//! interrupted rotation is found again by the names alone.

use anyhow::bail;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rotation {
    /// Create a secret with this name.
    Begin { old: String, new: String },
    /// Both exist: a rotation began before.
    Continue { old: Vec<String>, new: String },
}

impl Rotation {
    /// Finds the rotation among the names of all valid secrets. The chosen name is that of the old or the new secret.
    pub(super) fn of(names: &[&str], chosen: Option<&str>, today: &str) -> anyhow::Result<Self> {
        let Some(chosen) = chosen.or_else(|| names.first().copied()) else { bail!("there is no webhook secret") };
        if !names.contains(&chosen) {
            bail!("--secret: no secret is named {chosen}: there is {}", names.join(", "));
        }
        let base = Dated::of(chosen).base;
        let mut group: Vec<Dated<'_>> =
            names.iter().map(|name| Dated::of(name)).filter(|dated| dated.base == base).collect();
        group.sort_unstable_by_key(|dated| (dated.date, dated.number));
        let Some(newest) = group.pop() else { bail!("there is no webhook secret") };
        if group.is_empty() {
            let begun = Self::Begin { old: newest.name.to_owned(), new: next(&newest, today) };
            return Ok(begun);
        }
        let old = group.into_iter().map(|dated| dated.name.to_owned()).collect();
        Ok(Self::Continue { old, new: newest.name.to_owned() })
    }

    /// Whether all names are those of one rotation.
    pub(super) fn is_unambiguous(names: &[&str]) -> bool {
        names.windows(2).all(|pair| Dated::of(pair[0]).base == Dated::of(pair[1]).base)
    }
}

fn next(newest: &Dated<'_>, today: &str) -> String {
    match newest.date {
        date if date < today => format!("{}-{today}", newest.base),
        date => format!("{}-{date}-{}", newest.base, newest.number + 1),
    }
}

/// The parts of a name: `default-2026-11-29-2`.
#[derive(Debug, Clone, Copy)]
struct Dated<'a> {
    name: &'a str,
    base: &'a str,
    /// Empty if there is none.
    date: &'a str,
    /// The number among the secrets of one day, from 1 on.
    number: u32,
}

impl<'a> Dated<'a> {
    fn of(name: &'a str) -> Self {
        let plain = Self { name, base: name, date: "", number: 1 };
        let (rest, number) = match name.rsplit_once('-').map(|(rest, number)| (rest, number.len(), number.parse())) {
            Some((rest, 1, Ok(number))) => (rest, number),
            _ => (name, 1),
        };
        let Some((base, date)) = rest.len().checked_sub(11).and_then(|at| rest.split_at_checked(at)) else {
            return plain;
        };
        let is_date = date.bytes().enumerate().all(|(index, byte)| match index {
            0 | 5 | 8 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
        if is_date && !base.is_empty() { Self { name, base, date: &date[1..], number } } else { plain }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_is_found_by_the_names() {
        let begin = |old: &str, new: &str| Rotation::Begin { old: old.into(), new: new.into() };
        let continued = |old: &[&str], new: &str| Rotation::Continue {
            old: old.iter().map(|name| (*name).to_owned()).collect(),
            new: new.into(),
        };
        for (names, chosen, rotation) in [
            (&["default"][..], None, begin("default", "default-2026-11-29")),
            (&["default-2026-05-01"], None, begin("default-2026-05-01", "default-2026-11-29")),
            (&["default-2026-11-29"], None, begin("default-2026-11-29", "default-2026-11-29-2")),
            (&["default-2026-11-29-2"], None, begin("default-2026-11-29-2", "default-2026-11-29-3")),
            (&["default", "default-2026-11-29"], None, continued(&["default"], "default-2026-11-29")),
            (
                &["default-2026-11-29-2", "default-2026-11-29", "default-2026-05-01"],
                None,
                continued(&["default-2026-05-01", "default-2026-11-29"], "default-2026-11-29-2"),
            ),
            (&["a", "b"], Some("b"), begin("b", "b-2026-11-29")),
            (&["a", "b", "b-2026-11-29"], Some("b"), continued(&["b"], "b-2026-11-29")),
            (&["2026-11-29"], None, begin("2026-11-29", "2026-11-29-2026-11-29")),
            (&["cloudflare-1"], None, begin("cloudflare-1", "cloudflare-1-2026-11-29")),
        ] {
            assert_eq!(Rotation::of(names, chosen, "2026-11-29").unwrap(), rotation, "{names:?}");
        }
        assert!(Rotation::of(&["a"], Some("b"), "2026-11-29").is_err());
        assert!(Rotation::of(&[], None, "2026-11-29").is_err());
    }
}
