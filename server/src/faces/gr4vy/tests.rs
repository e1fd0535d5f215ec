#[test]
fn no_two_routes_conflict() {
    drop(super::routes());
}
