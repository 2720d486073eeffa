package logic

import (
	"time"

	"github.com/seckill-go/seckill/rpc/user/internal/user"
	"github.com/seckill-go/seckill/rpc/user/userpb"
)

func sessionOf(s user.Session) *userpb.Session {
	return &userpb.Session{
		AccessToken: s.AccessToken, ExpiresIn: int64(s.ExpiresIn / time.Second), RefreshToken: s.RefreshToken,
	}
}
