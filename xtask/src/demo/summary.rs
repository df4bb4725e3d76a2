//! What the demo has shown: reduction, bytes, and what Odoo was told.

use anyhow::Result;
use serde_json::Value;

use super::audience::Audience;
use super::stage::{Orders, Stage};

/// Longest call shown, characters.
const CALL_CHARS_MAX: usize = 220;

/// Prints it.
pub(super) fn print(stage: &Stage, audience: &Audience, orders: &Orders) -> Result<()> {
    let status = stage.agent_status()?.0;
    let sum = |field: &str| -> u64 {
        let sources = status["sources"].as_array();
        sources.into_iter().flatten().filter_map(|source| source[field].as_u64()).sum()
    };
    let (observed, kept, milestones) = (sum("observed"), sum("kept"), audience.standing());
    println!("\nWhat became of it");
    println!("  {observed} readings heard, {kept} kept, {} bytes sent", status["uplink"]["sent_bytes"]);
    println!("  {milestones} milestones: one for every {} readings", observed / milestones.max(1) as u64);
    println!("  half of them were known within {:.1} s of real time", audience.median_latency_s());
    match orders {
        Orders::InPlanFile => print_ledger(&stage.ledger()),
        Orders::InOdoo { odoo, orders } => {
            println!("\nWhat Odoo holds now");
            for order in orders {
                let notes = odoo.notes(order.picking_id)?;
                println!("  {} ({}): {} notes", order.picking, order.sale_order, notes.len());
                for note in notes {
                    println!("    {} {}", strip_tags(&note.body), attachments(note.attachments));
                }
            }
        }
    }
    Ok(())
}

fn print_ledger(ledger: &str) {
    println!("\nThe calls that Odoo would have received ({})", ledger.lines().count());
    for line in ledger.lines() {
        match serde_json::from_str::<Value>(line) {
            Ok(call) => {
                let text = format!(
                    "{} {} {}",
                    call["method"].as_str().unwrap_or("POST"),
                    call["path"].as_str().unwrap_or_default(),
                    call["body"]
                );
                let shown: String = text.chars().take(CALL_CHARS_MAX).collect();
                println!("  {shown}{}", if shown.len() < text.len() { " …" } else { "" });
            }
            Err(_) => println!("  {line}"),
        }
    }
}

fn attachments(count: usize) -> String {
    if count == 0 { String::new() } else { format!("[{count} files]") }
}

/// The text of some HTML, on one line.
fn strip_tags(html: &str) -> String {
    let mut text = String::new();
    let mut in_tag = false;
    for c in html.chars() {
        match c {
            '<' => in_tag = true,
            '>' => {
                in_tag = false;
                text.push(' ');
            }
            _ if !in_tag => text.push(c),
            _ => {}
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_stripped() {
        assert_eq!(strip_tags("<p>Arrived <b>10:02</b></p>"), "Arrived 10:02");
    }
}
