//! In which order inputs are asked for their status.
//!
//! Two rings share the sweep: inputs that are connected, expected or just changed, and all others. Each asks its inputs in
//! turn. The others get what the first ring leaves, and always a small part: an input whose `connected` was lost is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Due, Priority};
use crate::event::{InputId, Timestamp};

/// One request in this many is for the other inputs.
const OTHERS_SHARE: u32 = 15;
/// An input is not asked more often than this.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(40);

/// A ring of inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ring {
    /// Inputs that are connected, expected, or just changed.
    Urgent,
    /// All others.
    Others,
}

/// The inputs in both rings.
#[derive(Debug, Default)]
pub struct Rings {
    inputs: BTreeMap<InputId, Place>,
    /// The inputs of each ring by their turn.
    order: [BTreeSet<(u64, InputId)>; 2],
    turn: u64,
    /// Number of requests in a row for the first ring.
    urgent_in_a_row: u32,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    ring: Ring,
    /// When it is its turn. Not a time: clocks jump.
    turn: u64,
    asked_at: Option<Timestamp>,
    /// When it was asked what it answered last.
    answered_at: Option<Timestamp>,
}

impl Rings {
    /// Replaces the inputs: ascending, with their ring. Those that stay keep their turn.
    pub fn replace(&mut self, wanted: Vec<(InputId, Ring)>) {
        let mut before = std::mem::take(&mut self.inputs);
        let placed = wanted.into_iter().map(|(input_id, ring)| {
            let place = before.remove(&input_id);
            let new = Place { ring, turn: 0, asked_at: None, answered_at: None };
            if place.is_none_or(|place| place.ring != ring) {
                let turn = place.map_or(0, |place| place.turn);
                for order in &mut self.order {
                    order.remove(&(turn, input_id));
                }
                self.order[ring as usize].insert((turn, input_id));
            }
            (input_id, Place { ring, ..place.unwrap_or(new) })
        });
        self.inputs = placed.collect();
        for (input_id, place) in before {
            self.order[place.ring as usize].remove(&(place.turn, input_id));
        }
    }

    /// Whether it is one of the inputs.
    pub fn contains(&self, input_id: &InputId) -> bool {
        self.inputs.contains_key(input_id)
    }

    /// The input whose turn it is, and when.
    pub fn next(&self, now: Timestamp) -> Option<(InputId, Due)> {
        let [urgent, other] = [Ring::Urgent, Ring::Others].map(|ring| {
            let (_, input_id) = *self.order[ring as usize].first()?;
            let asked_at = self.inputs.get(&input_id)?.asked_at;
            Some((input_id, Due::after(asked_at, SHORTEST_INTERVAL, now, Priority::Sweep)))
        });
        match (urgent, other) {
            (Some(urgent), Some(other)) => {
                let is_others_turn = self.urgent_in_a_row + 1 >= OTHERS_SHARE;
                let (urgent_is_due, other_is_due) = (urgent.1.at <= now, other.1.at <= now);
                let takes_other = match (urgent_is_due, other_is_due) {
                    (true, true) => is_others_turn,
                    (false, false) => other.1.at < urgent.1.at,
                    (_, other_is_due) => other_is_due,
                };
                Some(if takes_other { other } else { urgent })
            }
            (urgent, other) => urgent.or(other),
        }
    }

    /// The input is asked, and is last in its ring.
    pub fn asked(&mut self, input_id: &InputId, now: Timestamp) {
        let Some(place) = self.inputs.get_mut(input_id) else { return };
        self.turn += 1;
        let order = &mut self.order[place.ring as usize];
        order.remove(&(place.turn, *input_id));
        order.insert((self.turn, *input_id));
        (place.turn, place.asked_at) = (self.turn, Some(now));
        self.urgent_in_a_row = if place.ring == Ring::Urgent { self.urgent_in_a_row + 1 } else { 0 };
    }

    /// The input answered, and was asked at this time.
    pub fn answered(&mut self, input_id: &InputId, asked_at: Timestamp) {
        if let Some(place) = self.inputs.get_mut(input_id) {
            place.answered_at = Some(asked_at);
        }
    }

    /// When the input was asked whose last answer is the oldest; `None` until all have answered.
    pub fn oldest_answer(&self) -> Option<Timestamp> {
        self.inputs.values().map(|place| place.answered_at).min().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000).plus(Duration::from_secs(seconds))
    }

    fn id(number: u8) -> InputId {
        InputId::from_bytes([number; 16])
    }

    fn rings(urgent: u8, others: u8) -> Vec<(InputId, Ring)> {
        let ring = |number| if number < urgent { Ring::Urgent } else { Ring::Others };
        (0..urgent + others).map(|number| (id(number), ring(number))).collect()
    }

    /// Asks once a second. Returns how often each input was asked.
    fn ask(rings: &mut Rings, inputs: u8, seconds: std::ops::Range<u64>) -> Vec<u32> {
        let mut asked = vec![0; usize::from(inputs)];
        for now in seconds.map(at) {
            if let Some((input_id, _)) = rings.next(now).filter(|(_, due)| due.at <= now) {
                rings.asked(&input_id, now);
                asked[usize::from(input_id.bytes()[0])] += 1;
            }
        }
        asked
    }

    #[test]
    fn urgent_inputs_are_asked_in_turn_and_the_others_with_what_is_left() {
        for (urgent, others, each_urgent, all_others) in
            [(30, 30, 14..=15, 150..=170), (100, 30, 5..=6, 39..=41), (2, 3, 15..=15, 44..=45), (0, 3, 0..=0, 44..=45)]
        {
            let mut order = Rings::default();
            order.replace(rings(urgent, others));
            let asked = ask(&mut order, urgent + others, 0..600);
            let (of_urgent, of_others) = asked.split_at(usize::from(urgent));
            assert!(of_urgent.iter().all(|times| each_urgent.contains(times)), "{of_urgent:?}");
            assert!(all_others.contains(&of_others.iter().sum::<u32>()), "{of_others:?}");
            assert!(of_others.iter().max().unwrap() - of_others.iter().min().unwrap() <= 1, "{of_others:?}");
        }
    }

    #[test]
    fn input_that_becomes_urgent_is_asked_before_those_that_were_just_asked() {
        let mut order = Rings::default();
        order.replace(rings(3, 1));
        ask(&mut order, 4, 0..3);
        order.replace(rings(4, 0));
        assert_eq!(order.next(at(3)).unwrap().0, id(3));
    }

    #[test]
    fn input_that_is_removed_is_not_asked_and_is_new_when_it_returns() {
        let mut order = Rings::default();
        order.replace(rings(2, 2));
        ask(&mut order, 4, 0..4);
        (0..4).for_each(|number| order.answered(&id(number), at(7)));
        assert_eq!(order.oldest_answer(), Some(at(7)));
        order.replace(rings(1, 0));
        assert!(order.contains(&id(0)) && !order.contains(&id(1)));
        assert_eq!(ask(&mut order, 4, 100..1000)[1..], [0; 3]);
        order.replace(rings(2, 0));
        assert_eq!(order.oldest_answer(), None);
    }

    #[test]
    fn clock_that_goes_back_keeps_the_turns() {
        let mut order = Rings::default();
        order.replace(rings(5, 0));
        ask(&mut order, 5, 100_000..100_100);
        let asked = ask(&mut order, 5, 0..400);
        assert!(asked.iter().all(|times| (10..=11).contains(times)), "{asked:?}");
    }
}
