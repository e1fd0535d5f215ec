use super::super::super::failure::Failure;
use super::*;

fn read(body: &Value) -> Result<Option<Card>, Failure> {
    let text = body.to_string();
    let mut form = Form::read(text.as_bytes())?;
    let card = card(&mut form);
    form.finish(&["payment_method"])?;
    Ok(card)
}

fn kept(number: &str) -> Value {
    let method = json!({"method": "card", "number": number, "expiration_date": "02/31"});
    let card = read(&json!({"payment_method": method})).expect("a good body");
    card.expect("a card").kept()
}

#[test]
fn of_a_card_its_first_and_last_digits_are_kept() {
    for (number, first, last) in [
        ("4242424242424", "424242", "2424"),
        ("378282246310005", "378282", "0005"),
        ("5555555555554444", "55555555", "4444"),
        ("6212345678901232001", "62123456", "2001"),
    ] {
        let kept = kept(number);
        assert_eq!((&kept["first_digits"], &kept["last_digits"]), (&json!(first), &json!(last)));
        assert_eq!((&kept["month"], &kept["year"]), (&json!(2), &json!(2031)));
        assert!(!kept.to_string().contains(number));
    }
}

#[test]
fn the_first_digits_name_the_scheme() {
    for (number, scheme) in [
        ("4242424242424242", "visa"),
        ("5555555555554444", "mastercard"),
        ("2223003122003222", "mastercard"),
        ("2204883716636153", "mir"),
        ("378282246310005", "amex"),
        ("6011111111111117", "discover"),
        ("6445644564456445", "discover"),
        ("3056930009020004", "diners-club"),
        ("36227206271667", "diners-club"),
        ("3566002020360505", "jcb"),
        ("6200000000000005", "unionpay"),
        ("5019717010103742", "dankort"),
        ("5018000000000009", "maestro"),
        ("6759649826438453", "maestro"),
        ("9999999999999995", "other"),
    ] {
        assert_eq!(kept(number)["scheme"], scheme, "{number}");
    }
}

#[test]
fn no_card_is_read_where_none_is_sent() {
    for body in [json!({}), json!({"payment_method": null})] {
        assert!(read(&body).expect("a good body").is_none());
    }
}
