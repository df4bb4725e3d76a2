//! Which parameters the units of a vehicle say they have (SAE J1979, parameters 00, 20, 40 … of a service).
//!
//! Promise: pure and of one size. What any unit has, the vehicle has; what no unit has is not asked for. A unit that says
//! nothing about a block leaves it unknown.

use super::quantity::{Quantity, Question};

/// Parameters that one answer tells of.
const BLOCK_ITEMS: u8 = 32;
/// Blocks of a service.
const BLOCKS: usize = 8;
const CURRENT_DATA: u8 = 0x01;
const VEHICLE_INFORMATION: u8 = 0x09;

/// What is known so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Support {
    current_data: Blocks,
    vehicle_information: Blocks,
}

/// Each block of a service once it is known, its first parameter in the most significant bit.
type Blocks = [Option<u32>; BLOCKS];

/// What to do about a quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask this: the quantity itself, or first what is supported.
    Ask(Question),
    /// No unit has it.
    Unsupported,
}

impl Support {
    /// Takes a complete answer in one frame, if it tells of a block.
    pub(super) fn note(&mut self, answer: &[u8]) {
        let &[service, item, a, b, c, d, ..] = answer else { return };
        let Some(blocks) = service.checked_sub(0x40).and_then(|service| self.blocks_mut(service)) else { return };
        if item % BLOCK_ITEMS == 0 {
            let block = &mut blocks[usize::from(item / BLOCK_ITEMS)];
            *block = Some(block.unwrap_or(0) | u32::from_be_bytes([a, b, c, d]));
        }
    }

    /// What to ask to come to `quantity`.
    pub(super) fn next(&self, quantity: Quantity) -> Next {
        let question = quantity.question();
        let Question::Obd { service, item } = question else { return Next::Ask(question) };
        let Some(blocks) = self.blocks(service) else { return Next::Ask(question) };
        // A block tells of parameter 1 to 32 after its own number; the last of them is the next block.
        let last = (item - 1) / BLOCK_ITEMS;
        for block in 0..=last {
            let wanted = if block == last { item } else { (block + 1) * BLOCK_ITEMS };
            match blocks[usize::from(block)] {
                None => return Next::Ask(Question::Obd { service, item: block * BLOCK_ITEMS }),
                Some(bits) if bits << ((wanted - 1) % BLOCK_ITEMS) >> (BLOCK_ITEMS - 1) == 0 => {
                    return Next::Unsupported;
                }
                Some(_) => {}
            }
        }
        Next::Ask(question)
    }

    const fn blocks(&self, service: u8) -> Option<&Blocks> {
        match service {
            CURRENT_DATA => Some(&self.current_data),
            VEHICLE_INFORMATION => Some(&self.vehicle_information),
            _ => None,
        }
    }

    const fn blocks_mut(&mut self, service: u8) -> Option<&mut Blocks> {
        match service {
            CURRENT_DATA => Some(&mut self.current_data),
            VEHICLE_INFORMATION => Some(&mut self.vehicle_information),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answers: &[[u8; 6]], number: u8, expected: Next) {
        let mut support = Support::default();
        answers.iter().for_each(|answer| support.note(answer));
        assert_eq!(support.next(Quantity::Parameter(number)), expected, "{answers:02x?} {number:02x}");
    }

    const fn ask(item: u8) -> Next {
        Next::Ask(Question::Obd { service: 1, item })
    }

    #[test]
    fn blocks_are_asked_for_in_turn_and_what_no_unit_has_is_not_asked_for() {
        // Parameters 0D and 20 of the first block, 2F of the second and no third.
        let (first, second) = ([0x41, 0x00, 0x00, 0x08, 0x00, 0x01], [0x41, 0x20, 0x00, 0x02, 0x00, 0x00]);
        check(&[], 0x0d, ask(0x00));
        check(&[first], 0x0d, ask(0x0d));
        check(&[first], 0x0c, Next::Unsupported);
        check(&[first], 0x2f, ask(0x20));
        check(&[first, second], 0x2f, ask(0x2f));
        check(&[first, second], 0x5c, Next::Unsupported);
        check(&[first, second], 0xa6, Next::Unsupported);
    }

    #[test]
    fn what_one_unit_lacks_another_may_have() {
        let gearbox = [0x41, 0x00, 0x80, 0x00, 0x00, 0x00];
        let engine = [0x41, 0x00, 0x00, 0x08, 0x00, 0x00];
        check(&[gearbox], 0x0d, Next::Unsupported);
        check(&[gearbox, engine], 0x0d, ask(0x0d));
        check(&[engine, gearbox], 0x01, ask(0x01));
    }

    #[test]
    fn the_last_parameter_of_a_block_belongs_to_it() {
        check(&[[0x41, 0x00, 0x00, 0x00, 0x00, 0x01]], 0x20, ask(0x20));
        check(&[[0x41, 0x00, 0x00, 0x00, 0x00, 0x01]], 0x1f, Next::Unsupported);
    }

    #[test]
    fn answers_of_other_services_and_values_tell_nothing() {
        check(&[[0x41, 0x0d, 0xff, 0xff, 0xff, 0xff], [0x42, 0x00, 0xff, 0xff, 0xff, 0xff], [0; 6]], 0x0d, ask(0x00));
    }
}
