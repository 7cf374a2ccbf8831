//! A night that gives a live state its base, too.

use super::night::{Night, date};

#[test]
fn a_night_gives_a_live_state_its_base_and_one_that_comes_too_late_is_no_failure() {
    let night = Night::with_days([18, 19]);
    let origin = |night: &Night| night.0.adprof("query --store file:live --origin u-01").ok();
    night.quiet(&format!("--date {} --base file:live", date(18)));
    assert!(origin(&night).contains("\"base\":\"2024-11-18\""), "{}", origin(&night));
    for (day, rollups) in [(19, ""), (18, ""), (19, " --rollups rollups")] {
        night.quiet(&format!("--date {} --again --base file:live{rollups}", date(day)));
        assert!(origin(&night).contains("\"base\":\"2024-11-19\""), "{}", origin(&night));
    }
    // Of a night that is published late the state has a newer base already.
    let late = Night::with_days([18, 19]);
    late.0.adprof("batch --log log --through 2024-11-19 --store file:live").ok();
    let (code, _, stderr) = late.run(&format!("--date {} --base file:live", date(18)));
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("no base through 2024-11-18: a base through 2024-11-19 is installed"), "{stderr}");
    assert!(origin(&late).contains("\"base\":\"2024-11-19\""));
}
