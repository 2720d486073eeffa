package order

import "context"

// Once gives back, at most once an order, the units of a batch of the orders that have ended, as the
// loop does after each interval. It may run beside the loop and on any number of instances. The error
// is of the first database or Redis step that failed; what could be settled is settled.
func (r *Returner) Once(ctx context.Context) error {
	_, err := r.step(ctx)
	return err
}

// Once ends a batch of the orders whose deadline is not after now, as the loop does after each
// interval. It may run beside the loop and on any number of instances. The error joins those of
// single orders, which do not stop the others.
func (e *Expirer) Once(ctx context.Context) error {
	_, err := e.step(ctx)
	return err
}

// RefundOnce asks the provider to give a batch of the captures back that lost their race, as the loop
// does after each interval. Beside the loop the provider may be asked twice, which gives back once.
// The error joins those of single refunds, which do not stop the others.
func (p *Payments) RefundOnce(ctx context.Context) error {
	_, err := p.refund(ctx)
	return err
}
