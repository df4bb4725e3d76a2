//! Printing figures, and the few statistics they need.

/// Prints one figure.
pub(crate) fn print(name: &str, value: f64, unit: &str) {
    println!("{name}: {value:.1} {unit}");
}

/// Prints a figure in bytes where a hundredth of one counts.
pub(crate) fn print_fine(name: &str, bytes: f64) {
    println!("{name}: {bytes:.2} bytes");
}

/// Prints the middle and the 99th percentile of some times in milliseconds.
pub(crate) fn print_percentiles(name: &str, mut times_ms: Vec<f64>) {
    times_ms.sort_by(f64::total_cmp);
    for percent in [50, 99] {
        if let Some(value) = percentile(&times_ms, percent) {
            print(&format!("{name}_p{percent}_ms"), value, "ms");
        }
    }
}

/// The smallest of `sorted` values that at least `percent` of them do not exceed.
fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

/// Resident memory of a process now and at most so far, MiB.
pub(crate) fn resident_mib(pid: u32) -> Option<(f64, f64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kib| kib / 1024.0)
    };
    Some((field("VmRSS:")?, field("VmHWM:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&hundred, 50), Some(50.0));
        assert_eq!(percentile(&hundred, 99), Some(99.0));
        assert_eq!(percentile(&[7.0], 99), Some(7.0));
        assert_eq!(percentile(&[], 50), None);
    }
}
